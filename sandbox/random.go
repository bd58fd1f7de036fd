package sandbox

import "hash/fnv"

// Randomness is counter-based: a value follows from what it belongs to (seed, account, day, purpose), not from
// what was drawn before it. Any day can be generated alone, and is the same every time.

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014): it spreads every bit of x over the result.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

const golden = 0x9e3779b97f4a7c15

// at names one point of the random space.
func at(key uint64, coordinates ...uint64) uint64 {
	for _, c := range coordinates {
		key = mix(key + golden*(c+1))
	}
	return key
}

// word makes a coordinate of a name.
func word(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// dice is a sequence of draws that begins at one point.
type dice uint64

func (d *dice) roll() uint64 {
	*d += golden
	return mix(uint64(*d))
}

// below draws from 0 to n-1.
func (d *dice) below(n int) int { return int(d.roll() % uint64(n)) }

// between draws from low to high, both included.
func (d *dice) between(low, high int64) int64 {
	return low + int64(d.roll()%uint64(high-low+1))
}

func pick[T any](r uint64, choices []T) T { return choices[r%uint64(len(choices))] }

package reconcile

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The Hungarian method against trying everything.
func TestMaximiseIsOptimal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows, columns := rapid.IntRange(1, 6).Draw(t, "rows"), rapid.IntRange(1, 6).Draw(t, "columns")
		weights := make([]int32, rows*columns)
		for i := range weights {
			weights[i] = rapid.Int32Range(0, 9).Draw(t, "weight") * 100
		}
		var best func(row int, taken uint) int32
		best = func(row int, taken uint) int32 {
			if row == rows {
				return 0
			}
			most := best(row+1, taken)
			for column := range columns {
				if taken&(1<<column) == 0 {
					most = max(most, weights[row*columns+column]+best(row+1, taken|1<<column))
				}
			}
			return most
		}

		assigned := maximise(rows, columns, func(i, j int) int32 { return weights[i*columns+j] })
		require.Len(t, assigned, rows)
		sum, taken := int32(0), map[int]bool{}
		for i, j := range assigned {
			if j >= 0 {
				require.False(t, taken[j], "column %d twice", j)
				require.NotZero(t, weights[i*columns+j], "a pair that may not be")
				sum, taken[j] = sum+weights[i*columns+j], true
			}
		}
		require.Equal(t, best(0, 0), sum)
	})
}

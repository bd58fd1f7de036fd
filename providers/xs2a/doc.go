// Package xs2a speaks Berlin Group NextGenPSD2 XS2A (Implementation Guidelines 1.3.x) with a bank's account
// information service.
package xs2a

// Package camt reads ISO 20022 bank-to-customer statements: camt.052 (account report) and camt.053 (statement).
package camt

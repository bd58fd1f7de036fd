package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/camt"
	"github.com/kontoflow/kontoflow/banks/formats/mt940"
	"github.com/kontoflow/kontoflow/sandbox"
)

// formats measures the readers of what banks send, on one core: megabytes a second, and allocations per transaction.
func formats(context.Context, *stack) ([]result, error) {
	const entries, rounds = 2_000, 3
	statement, document := mt940File(entries), camtFile(entries)
	message, err := finTSMessage(entries)
	if err != nil {
		return nil, err
	}
	read := func(of *testing.BenchmarkResult, size int, f func() (int, error)) func(int) (float64, error) {
		return func(int) (perSecond float64, failed error) {
			*of = testing.Benchmark(func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if n, err := f(); err != nil || n != entries {
						failed = fmt.Errorf("read %d of %d entries: %w", n, entries, err)
						return
					}
				}
			})
			return entries * float64(of.N) / of.T.Seconds(), failed
		}
	}
	var inMT940, inCamt, inFinTS testing.BenchmarkResult
	ratio, camtRate, mt940Rate, err := compare(rounds,
		read(&inCamt, len(document), func() (int, error) {
			report, err := camt.Read(strings.NewReader(document), "EUR")
			if err != nil {
				return 0, err
			}
			return len(report.Entries), nil
		}),
		read(&inMT940, len(statement), func() (int, error) {
			report, err := mt940.Read(statement, "EUR")
			if err != nil {
				return 0, err
			}
			return len(report.Entries), nil
		}))
	if err != nil {
		return nil, err
	}
	if _, err := read(&inFinTS, len(message), func() (int, error) {
		m, err := syntax.Read(message)
		if err != nil {
			return 0, err
		}
		return len(m.Segments), nil
	})(0); err != nil {
		return nil, err
	}
	return []result{
		recorded("mt940_mb_per_s", speed(inMT940), "%.1f allocations per transaction", float64(inMT940.AllocsPerOp())/entries),
		recorded("camt_mb_per_s", speed(inCamt), "%.1f allocations per transaction, camt.052.001.08", float64(inCamt.AllocsPerOp())/entries),
		atLeast("camt_vs_mt940", ratio, 0.4, "%.0f transactions/s in camt, %.0f/s in MT940", camtRate, mt940Rate),
		recorded("fints_message_mb_per_s", speed(inFinTS), "%.1f allocations per segment", float64(inFinTS.AllocsPerOp())/entries),
	}, nil
}

func speed(r testing.BenchmarkResult) float64 {
	return float64(r.Bytes) * float64(r.N) / 1e6 / r.T.Seconds()
}

func mt940File(entries int) string {
	var b strings.Builder
	b.WriteString(":20:STARTUMS\r\n:25:90090042/4711951500\r\n:28C:00001/001\r\n:60F:C260101EUR10000,00\r\n")
	for i := range entries {
		fmt.Fprintf(&b, ":61:2601020102DR%d,%02dNDDTNONREF\r\n", 10+i%90, i%100)
		fmt.Fprintf(&b, ":86:105?00FOLGELASTSCHRIFT?10931?20EREF+RG%08d?21MREF+M-4711-0815?22CRED+DE98ZZZ09999999999?23SVWZ+Rechnung %08d\r\n", i, i)
		b.WriteString("?24Kundennummer 20260102?30DEUTDEFFXXX?31DE89370400440532013000?32STADTWERKE MUSTERSTADT?33GMBH?34992\r\n")
	}
	b.WriteString(":62F:C260102EUR10000,00\r\n-\r\n")
	return b.String()
}

func camtFile(entries int) string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.052.001.08"><BkToCstmrAcctRpt>` +
		`<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-01-02T08:00:00</CreDtTm></GrpHdr><Rpt><Id>R1</Id><Acct><Id><IBAN>DE67900900424711951500</IBAN></Id><Ccy>EUR</Ccy></Acct>`)
	for i := range entries {
		fmt.Fprintf(&b, `<Ntry><Amt Ccy="EUR">%d.%02d</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-01-02</Dt></BookgDt><ValDt><Dt>2026-01-02</Dt></ValDt>`+
			`<BkTxCd><Prtry><Cd>NDDT+105</Cd></Prtry></BkTxCd><NtryDtls><TxDtls><Refs><EndToEndId>RG%08d</EndToEndId><MndtId>M-4711-0815</MndtId></Refs>`+
			`<RltdPties><Cdtr><Pty><Nm>Stadtwerke Musterstadt GmbH</Nm></Pty></Cdtr><CdtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></CdtrAcct></RltdPties>`+
			`<RmtInf><Ustrd>Rechnung %08d Kundennummer 20260102</Ustrd></RmtInf></TxDtls></NtryDtls><AddtlNtryInf>FOLGELASTSCHRIFT</AddtlNtryInf></Ntry>`,
			10+i%90, i%100, i, i)
	}
	b.WriteString(`</Rpt></BkToCstmrAcctRpt></Document>`)
	return b.String()
}

func finTSMessage(segments int) ([]byte, error) {
	m := syntax.Message{DialogID: "4711", Number: 2, Answers: &syntax.Reference{DialogID: "4711", Number: 2},
		Security: &syntax.Security{Function: "942", SystemID: "2", Country: "280", BankCode: "90090042", UserID: "demo"}}
	for range segments {
		m.Segments = append(m.Segments, syntax.New("HISPA", 1, syntax.Text("J", "DE67900900424711951500", "DEMODE01XXX", "4711951500", "", "280", "90090042")))
	}
	return m.Wire()
}

// finTS compares synchronizations over FinTS with those over XS2A: the same customers' 30 new transactions.
func finTS(ctx context.Context, s *stack) ([]result, error) {
	const rounds, each, parallel = 3, 32, 8
	over := func(bank string) func(round int) (float64, error) {
		return func(int) (float64, error) {
			accesses, err := s.accesses(ctx, sandbox.AccessMethodID(bank), "thirty", each)
			if err != nil {
				return 0, err
			}
			return rate(ctx, each, parallel, func(ctx context.Context, i int) error {
				_, err := s.synchronize(ctx, accesses[i])
				return err
			})
		}
	}
	ratio, fints, xs2a, err := compare(rounds, over("fints"), over("demo"))
	if err != nil {
		return nil, err
	}
	return []result{recorded("fints_sync_vs_xs2a", ratio, "%.1f synchronizations/s over FinTS, %.1f/s over XS2A", fints, xs2a)}, nil
}

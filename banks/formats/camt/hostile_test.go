package camt_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks/formats/camt"
)

// repeated is a document whose middle is repeated up to a size, without being in memory.
func repeated(before, middle, after string, size int) io.Reader {
	return io.MultiReader(strings.NewReader(before), &repeater{text: []byte(middle), left: size / len(middle)}, strings.NewReader(after))
}

type repeater struct {
	text []byte
	at   int
	left int
}

func (r *repeater) Read(to []byte) (n int, err error) {
	for n < len(to) && r.left > 0 {
		taken := copy(to[n:], r.text[r.at:])
		n, r.at = n+taken, r.at+taken
		if r.at == len(r.text) {
			r.at, r.left = 0, r.left-1
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// What a message costs in memory is bounded by what is kept of it, however it is made. Not
// parallel: it counts all that is allocated.
func TestMemoryIsBounded(t *testing.T) {
	const mib = 1 << 20
	const (
		head  = `<Document><BkToCstmrStmt><Stmt>`
		foot  = `</Stmt></BkToCstmrStmt></Document>`
		entry = `<Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd>`
		one   = entry + `<NtryDtls><TxDtls>`
		end   = `</TxDtls></NtryDtls></Ntry>`
	)
	for _, row := range []struct {
		name                  string
		before, middle, after string
		size                  int // of the middle, in all
		allocates             int // at most, in bytes
		err                   error
	}{
		{"transactions without anything", head + entry + `<NtryDtls>`, `<TxDtls/>`, `</NtryDtls></Ntry>` + foot, mib, mib / 2, nil},
		{"transactions with an amount", head + entry + `<NtryDtls>`, `<TxDtls><Amt>1</Amt></TxDtls>`, `</NtryDtls></Ntry>` + foot, mib, 80 * mib, nil},
		{"transactions that are large", head + entry + `<NtryDtls>`, `<TxDtls><Amt>1</Amt><RmtInf>` + strings.Repeat(`<Ustrd>`+strings.Repeat("x", 1000)+`</Ustrd>`, 30) + `</RmtInf></TxDtls>`, `</NtryDtls></Ntry>` + foot, 96 * mib, 200 * mib, camt.ErrTooLarge},
		{"entries", head, entry + `</Ntry>`, foot, 64 * mib, 400 * mib, camt.ErrTooLarge},
		{"a batch after the other", head, entry + `<NtryDtls>` + strings.Repeat(`<TxDtls><Amt>1</Amt></TxDtls>`, 200) + `</NtryDtls></Ntry>`, foot, mib, 10 * mib, nil},
		{"balances", head, `<Bal><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>`, foot, mib, 16 * mib, nil},
		{"lines", head + one + `<RmtInf>`, `<Ustrd>x</Ustrd>`, `</RmtInf>` + end + foot, 2 * mib, 2 * mib, nil},
		{"invoices", head + one + `<RmtInf><Strd>`, `<RfrdDocInf><Nb>x</Nb></RfrdDocInf>`, `</Strd></RmtInf>` + end + foot, 2 * mib, 2 * mib, nil},
		{"one text", head + entry + `<AddtlNtryInf>`, `x`, `</AddtlNtryInf></Ntry>` + foot, 4 * mib, mib, nil},
		{"one text of references", head + entry + `<AddtlNtryInf>`, `&amp;&#65;`, `</AddtlNtryInf></Ntry>` + foot, 4 * mib, mib, nil},
		{"one text outside of ASCII", head + entry + `<AddtlNtryInf>`, "\xe4", `</AddtlNtryInf></Ntry>` + foot, 4 * mib, mib, nil},
		{"one CDATA section", head + entry + `<AddtlNtryInf><![CDATA[`, `]`, `]]></AddtlNtryInf></Ntry>` + foot, 4 * mib, mib, nil},
		{"CDATA sections", head + entry + `<AddtlNtryInf>`, `<![CDATA[]]>`, `</AddtlNtryInf></Ntry>` + foot, 4 * mib, mib, nil},
		{"one comment", head + `<!--`, `-`, `-->` + foot, 4 * mib, mib, nil},
		{"comments", head, `<!---->`, foot, 4 * mib, mib, nil},
		{"less-than signs", head, `<`, ` ` + foot, 4 * mib, mib, nil},
		{"unknown elements", head, `<a></a><b/>`, foot, 4 * mib, mib, nil},
		{"XML declarations", ``, `<?xml encoding="ISO-8859-2"?>`, head + foot, 4 * mib, 64 * mib, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := camt.Read(repeated(row.before, row.middle, row.after, row.size), "EUR")
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, row.err)
			require.LessOrEqual(t, int(after.TotalAlloc-before.TotalAlloc), row.allocates)
		})
	}
}

// A single tag, name, attribute, instruction or document type is refused before it is in memory.
func TestMarkupIsBounded(t *testing.T) {
	for _, row := range []struct{ name, before, middle, after string }{
		{"name", `<`, `a`, `/>`},
		{"end tag", `<a></`, `a`, `>`},
		{"attribute", `<a b="`, `c`, `"/>`},
		{"attributes", `<a`, ` b="c"`, `/>`},
		{"blanks", `<a`, ` `, `/>`},
		{"instruction", `<?a `, `b`, `?><a/>`},
		{"document type", `<!DOCTYPE a [`, `<!ENTITY b "cccccccccc">`, `]><a/>`},
	} {
		t.Run(row.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := camt.Read(repeated(row.before, row.middle, row.after, 16<<20), "EUR")
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, "a tag is too long")
			require.LessOrEqual(t, int(after.TotalAlloc-before.TotalAlloc), 1<<20)
		})
	}
}

// Twice the input allocates twice as much: nothing is done again and again.
func TestCostIsLinear(t *testing.T) {
	entry := `<Ntry><Amt Ccy="EUR">1</Amt><CdtDbtInd>CRDT</CdtDbtInd><NtryDtls><TxDtls><RltdPties><Dbtr><Nm>B&#228;cker &amp; Sohn</Nm></Dbtr></RltdPties>` +
		`<RmtInf><Ustrd>Br` + "\xf6" + `tchen</Ustrd><Ustrd><![CDATA[Mohn]]></Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>`
	cost := func(n int) float64 {
		return testing.AllocsPerRun(1, func() {
			report, err := camt.Read(repeated(`<BkToCstmrStmt><Stmt>`, entry, `</Stmt></BkToCstmrStmt>`, n*len(entry)), "EUR")
			require.NoError(t, err)
			require.Len(t, report.Entries, n)
		})
	}
	small, large := cost(1_000), cost(8_000)
	require.InDelta(t, 8, large/small, 0.5)
	require.LessOrEqual(t, large/8_000, 60.0, "allocations per transaction")
}

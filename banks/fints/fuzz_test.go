package fints

import (
	"context"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// Whatever a bank sends as a challenge, what the customer is shown has a form, and no markup that
// the specification does not know.
func FuzzChallenge(f *testing.F) {
	f.Add("<b>TAN</b> an 0170<br>senden?", []byte(nil), true)
	f.Add("CHLGUC 00312908881344731012345678900515,00CHLGTEXT0008Karte ein", []byte(nil), false)
	f.Add("Bitte scannen", []byte("\x00\x09image/png\x00\x04\x89PNG"), false)
	f.Add("<img src=x onerror=alert(1)><scr<b>ipt>", []byte("0248A0120452019980812345678"), true)
	f.Fuzz(func(t *testing.T, text string, hhduc []byte, structured bool) {
		m := method{Structured: structured}
		format, data, rest, err := m.present(text, hhduc)
		if err != nil {
			return
		}
		require.NotEmpty(t, format)
		require.NotEmpty(t, data)
		require.LessOrEqual(t, len(rest), len(text))
		if format == banks.FormatHTML {
			require.Equal(t, data, structure.Sanitize(data))
		}
	})
}

// Whatever a bank sends as its parameters, reading them ends, and keeps within bounds.
func FuzzParameters(f *testing.F) {
	f.Add([]byte("HIBPA:3:3:4+7+280:90090042+Demo+1+1+300'HITANS:4:7:4+1+1+0+J:N:0:942:2:mTAN:mobileTAN::SMS:6:1:TAN:4:N:2:N:0:0:N:J:00:0:N:1'HIPINS:5:1:4+1+1+0+5:20:6:A::HKSAL:N:HKKAZ:J'"))
	f.Add([]byte("HICAZS:4:1:4+1+1+0+400:N:N:urn?:iso?:camt.052.001.08'HIKAZS:4:5:4+1+1+90:N:N'HIUPD:5:6+1::280:9++d+1+EUR+M++G++HKSAL:1'"))
	for _, seed := range []string{
		// HITANS of old versions, of variant 1, cut short, and with methods of both lengths.
		"HIBPA:3:3:4+7'HITANS:4:1:4+1+1+1+J:N:0:0:920:2:smsTAN:smsTAN:6:1:TAN:3:1:N:N'",
		"HIBPA:3:3:4+7'HITANS:4:6:4+1+1+0+J:N:1:910:1:HHD1.3.0:HHD::chipTAN:6:1:TAN:4:N:1:N:0:0:N:N:00:2:N:5'",
		"HIBPA:3:3:4+7'HITANS:4:7:4+1+1+0+N:N:0:921:2:pushTAN:Decoupled::pushTAN 2.0:::Aufforderung:2048:N:1:N:0:0:N:N:00:2:N:2:180:1:1:N:J:922:2:HHD1.4OPT:HHDOPT1:1.4:chipTAN:6:1:TAN:2048:N:1:N:0:0:N:N:00:2:N:9'",
		"HIBPA:3:3:4+7'HITANS:4:7:4+1+1+0+N:N:0:946:2:SECUREGO:DecoupledPush::SecureGo plus:::Freigabe:2048:J:2:N:0:0:N:J:01:0:N'HITANS:5:6:4+1+1+0+J:J:2'",
		// HITAB 4 and 5, with media of each status and class.
		"HITAB:5:4:3+0+A:1:::::::::::Alle Geräte+M:2:::::::::::Unregistriert 1+G:3:6729012345:1:1:::::20200101:20301231:::'",
		"HITAB:5:5:3+1+M:1:942::::::::::Handy:*****12:Demo AG+S:4:900+B:1:::::::::::::'",
		"HITAB:5:5:3'",
		// 3920 in several codes, with parameters that are none.
		"HIRMS:4:2:4+3920::Zugelassene Verfahren:942:946+3920::Weitere:900:999::4711'HIRMS:5:2:4+3050::BPD nicht aktuell+3072::Neue Kennungen:u:k+9930::Verfahren widerspricht dem Vertrag'",
		"HITAN:5:7:5+4++order-1+Bitte freigeben++20260302:130020'HITAN:5:6:5+1+@8@00000000++TAN'",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		segments, err := syntax.Parse(wire)
		if err != nil || len(segments) == 0 {
			return
		}
		b := readBank(&segments[0], segments)
		require.LessOrEqual(t, len(b.Methods), maxMethods)
		require.LessOrEqual(t, len(b.Camt), maxFormats)
		for i := range b.Methods {
			m := &b.Methods[i]
			require.Len(t, m.Function, 3)
			require.NotEmpty(t, m.kind())
			require.True(t, !m.byHash() || m.Hash > 0, "an order's hash that nobody can make")
			for polls := range 3 {
				wait := m.wait(&waiting{Polls: polls, Since: time.Unix(0, 0)}, time.Unix(0, 0))
				require.Positive(t, wait)
				require.LessOrEqual(t, wait, max(slowest, longestValidity))
			}
		}
		r := &reply{Message: &syntax.Message{Segments: segments}}
		for i := range segments {
			_, _ = readAccount(&segments[i])
			r.feedback = append(r.feedback, readFeedback(&segments[i])...)
			for _, m := range readMedia(&segments[i], &method{}) {
				require.NotEmpty(t, m.Name)
			}
		}
		for _, function := range r.methods() {
			require.Len(t, function, 3)
		}
		if err := judge("fuzz", r.feedback); err != nil {
			refused, ok := asRefusal(err)
			require.True(t, ok)
			require.NotZero(t, refused.fault.Code)
			require.NotEmpty(t, refused.fault.Kind)
		}
		talk := &talk{provider: &provider{}, conv: &banks.Conversation{Interactive: true}}
		talk.learn(r)
		if talk.demands(r, "HKIDN", "") {
			require.LessOrEqual(t, len(talk.dialog.Waiting.Reference), 256)
		}
	})
}

// Whatever a bank sends as statements, balances, accounts and return codes, reading them ends, and
// what comes out is fit to be stored: every entry has a currency, and every booked one a day.
func FuzzStatements(f *testing.F) {
	for _, seed := range []string{
		"HIKAZ:4:7:3+@118@:20:X\r\n:25:1\r\n:28C:0\r\n:60F:C260101EUR0,00\r\n:61:260227D12,34NMSCNONREF//A1\r\n:86:005?00LASTSCHRIFT\r\n:62F:C260301EUR1,00\r\n-'",
		"HIKAZ:4:7:3+@0@+@49@:20:Y\r\n:34F:EUR0,\r\n:61:260302D3,NMSCNONREF\r\n-'",
		"HIKAZ:4:5:3'",
		"HICAZ:4:1:3+DE67900900424711951500:DEMODE01+camt.052.001.08+@116@<Document><BkToCstmrAcctRpt><Rpt><Ntry><Amt Ccy=\"EUR\">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></Ntry></Rpt></BkToCstmr'",
		"HICAZ:4:1:3++camt.052.001.08+@0@'",
		"DIKKU:4:2:3+5232++D:1234,56:EUR:20260301+++5232:20260226:20260227::50,:USD:D:0,9:45,:EUR:D:SHOP:ORT::::::::J:1002:5734'",
		"DIKKU:4:2:3+5232+17+18+C:x:EUR+20260210+20260310+5232:20260230:::x:USD:D:1,::12,34:EUR:S:SHOP'",
		"HIKKU:4:1:3+5232XX11+17+D:250,00:EUR:20260301+20260210++5232XX11:20260226:20260227:20260310:20260228:75,:CAD:D:1,6:47,53:EUR:D:TEXT:75 CAD:::::::124:Shop:T-1:N:2001'",
		"HISAL:4:7:3+DE67900900424711951500:DEMODE01:1::280:90090042+Giro+EUR+C:101,960000000017:EUR++100,:EUR+5,:EUR:D'HISAL:5:8:3+:::01:280+Giro+USD+D:1E-9:USD:20260230'",
		"HISPA:4:1:3+J:DE67900900424711951500:DEMODE01:004711951500:EUR:280:90090042+N:::1:00:280:90090042'",
		"HIRMS:3:2:3+3040::Mehr als 100 vorgemerkte Umsaetze+3040::Es liegen weitere Informationen vor:P2+3010::Es liegen keine Eintraege vor'",
		"HIRMS:3:2:3+9210:2,3:Kontonummer ung\xfcltig+9010:5:Zeitraum ab 01.12.2025'HIRMG:2:2+9050::Die Nachricht enth\xe4lt Fehler'",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		segments, err := syntax.Parse(wire)
		if err != nil {
			return
		}
		r := &reply{Message: &syntax.Message{Segments: segments}}
		for i := range segments {
			if s := &segments[i]; s.Name == "HIRMG" || s.Name == "HIRMS" {
				r.feedback = append(r.feedback, readFeedback(s)...)
			}
		}
		for i := range r.feedback {
			_ = r.feedback[i].cause()
		}
		covers, next := r.covers(), cursor{}
		if next.goOn(covers.points, "1") == nil {
			require.LessOrEqual(t, len(next.More), maxPoints)
		}
		page, list, err := readStatements(t.Context(), r, &next, "EUR", civil.Day(2026, 3, 2))
		if err == nil {
			booked, pending := covers.withheld(list, len(page.Entries))
			require.True(t, booked == "" || pending != "", "booked entries are withheld, and the pending ones are not")
		}
		for _, e := range page.Entries {
			require.Len(t, e.Currency, 3)
			for _, line := range append(e.Remittance, e.Counterparty.Name, e.TransactionID) {
				require.True(t, utf8.ValidString(line))
			}
		}
		for _, b := range readBalances(r, &userAccount{Number: "1", Currency: "EUR"}) {
			require.Len(t, b.Currency, 3)
		}
		sepa := readSEPA(r)
		require.LessOrEqual(t, len(complete(nil, sepa)), len(sepa))
	})
}

// Reading ends as soon as nobody waits for it any more, between any two parts of an answer.
func TestReadingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, wire := range []string{
		"HIKAZ:4:7:3+@2@\r\n'", "HICAZ:4:1:3+++@2@\r\n'", "DIKKU:4:2:3+5232'",
	} {
		segments, err := syntax.Parse([]byte(wire))
		require.NoError(t, err)
		_, list, err := readStatements(ctx, &reply{Message: &syntax.Message{Segments: segments}}, &cursor{}, "EUR", 0)
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, list, "what was not read is no list")
		require.Equal(t, banks.Transient, banks.AsError(unreadable(ctx, "read", err)).Kind)
	}
}

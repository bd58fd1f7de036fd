package wording_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks/internal/wording"
)

// Only a sentence that states the block counts.
func TestBlocked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"":                                false,
		"Ihr Online-Zugang ist gesperrt.": true,
		"Ihr Zugang wurde gesperrt. Bitte wenden Sie sich an die Hotline oder Ihre Filiale.": true,
		"Ihr Zugang wurde nach drei Fehlversuchen gesperrt!":                                 true,
		"ZUGANG GESPERRT": true,
		"Zugang gesperrt, bitte rufen Sie uns an oder besuchen Sie uns.": true,
		"Die PIN war nicht korrekt, Ihr Zugang ist jetzt gesperrt.":      true,
		"Anmeldung abgelehnt: Benutzer gesperrt":                         true,
		"Der Benutzer ist blockiert":                                     true,
		"The user has been blocked.":                                     true,
		"Your account is temporarily locked":                             true,
		"PSU blocked":                                                    true,
		"Your access was locked out after three attempts.":               true,
		"The PSU-ID cannot be matched by the addressed ASPSP or is blocked, or a password resp. OTP was not correct. Additional information might be added.": false,
		"Die PSU-ID konnte von der Bank nicht zugeordnet werden oder ist gesperrt, oder das Passwort bzw. die OTP war nicht richtig.":                        false,
		"PSU-ID unbekannt bzw. gesperrt, oder Passwort falsch":                       false,
		"Die PIN ist falsch oder Ihr Zugang ist gesperrt.":                           false,
		"Teilnehmer gesperrt oder unbekannt":                                         false,
		"User is unknown, locked or the password is wrong":                           false,
		"User unknown / blocked / password wrong":                                    false,
		"Either the user is blocked or the password is wrong":                        false,
		"Nach drei Fehlversuchen wird Ihr Zugang gesperrt.":                          false,
		"PIN falsch. Noch 1 Versuch, dann ist der Zugang gesperrt.":                  false,
		"Noch zwei Versuche, bis Ihr Zugang gesperrt ist":                            false,
		"Your access will be blocked after the next wrong PIN.":                      false,
		"Wrong PIN. 2 attempts left before your account is locked.":                  false,
		"If your access is blocked, please call us.":                                 false,
		"Wenn Ihr Zugang gesperrt ist, rufen Sie uns an.":                            false,
		"Ihr Zugang ist möglicherweise gesperrt.":                                    false,
		"Ihr Zugang ist nicht gesperrt.":                                             false,
		"Your account has not been blocked":                                          false,
		"Der Zugang kann gesperrt werden.":                                           false,
		"Bitte beachten Sie, dass der Zugang nach drei Fehlversuchen gesperrt wird.": false,
		"PIN ungültig (gesperrte PINs lassen sich in der Filiale entsperren)":        false,
		"Wrong PIN. Blocked PINs can be unblocked by phone.":                         false,
		"Ihr Zugang wurde entsperrt.":                                                false,
		"Your account was unlocked.":                                                 false,
		"Anmeldename oder PIN ist falsch.":                                           false,
	} {
		require.Equal(t, want, wording.Blocked(text), text)
	}
}

func TestTANBlocked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"Ihr TAN-Verfahren ist gesperrt.":                                true,
		"Ihre pushTAN wurde gesperrt":                                    true,
		"Die mobileTAN ist gesperrt":                                     true,
		"Your TAN method is blocked":                                     true,
		"Your OTP device has been locked.":                               true,
		"Ihr Zugang ist gesperrt.":                                       false,
		"Die TAN ist falsch. Ihr Zugang ist gesperrt.":                   false,
		"Nach der dritten falschen TAN wird das TAN-Verfahren gesperrt.": false,
		"Die Standardeinstellung ist gesperrt.":                          false,
		"The PSU-ID cannot be matched by the addressed ASPSP or is blocked, or a password resp. OTP was not correct.": false,
	} {
		require.Equal(t, want, wording.TANBlocked(text), text)
	}
}

func TestOtherWords(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"PIN-Änderung erforderlich: Bitte ändern Sie Ihre PIN im Online-Banking.", "Bitte vergeben Sie eine neue PIN", "Please change your PIN",
		"Your password has expired", "Passwort abgelaufen", "PIN aendern"} {
		require.True(t, wording.PINChange(text), text)
	}
	for _, text := range []string{"Die PIN ist falsch.", "The PIN is wrong, or the password", ""} {
		require.False(t, wording.PINChange(text), text)
	}
	require.True(t, wording.Maintenance("Wegen Wartungsarbeiten nicht erreichbar"))
	require.True(t, wording.Migration("Technische Umstellung"))
	require.False(t, wording.Maintenance("Migration") || wording.Migration("Wartung"))
}

// A text of any length and shape costs time in proportion to its length, and breaks nothing.
func FuzzBlocked(f *testing.F) {
	f.Add("Ihr Zugang ist gesperrt.")
	f.Add("or is blocked, or gesperrt / locked\xff bzw. ")
	f.Add(strings.Repeat("gesperrt oder ", 100))
	f.Fuzz(func(t *testing.T, text string) {
		if wording.TANBlocked(text) && !wording.Blocked(text) {
			t.Error("a blocked TAN method is a block")
		}
	})
}

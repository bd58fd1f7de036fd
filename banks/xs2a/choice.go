package xs2a

import (
	"context"
	"net/http"
	"slices"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// memory is what an access knows of the customer's methods of strong customer authentication, whatever becomes of its
// consents.
type memory struct {
	Methods []banks.AuthMethod `json:"methods,omitempty"` // as the bank listed them last, without the devices of each
	Picked  []string           `json:"picked,omitempty"`  // the stored method, and its device: chosen again without asking
	Medium  string             `json:"medium,omitempty"`  // name of that device
	Wish    string             `json:"wish,omitempty"`    // the Conversation.ChooseMethod that was fulfilled
}

// maxMethods bounds the methods that are remembered.
const maxMethods = 32

// shown are the methods as an access shows them.
func (m *memory) shown() []banks.AuthMethod {
	all := slices.Clone(m.Methods)
	for i := range all {
		if len(m.Picked) > 0 && all[i].ID == m.Picked[0] {
			all[i].Default = true
			if m.Medium != "" {
				all[i].MediumName = m.Medium
			}
		}
	}
	return all
}

// authMethods words what the bank lists.
func authMethods(all methods) []banks.AuthMethod {
	var worded []banks.AuthMethod
	for _, m := range all {
		info := map[string]string{}
		if m.Explanation != "" {
			info["explanation"] = lenient.PlainText(string(m.Explanation), maxText)
		}
		if m.Version != "" {
			info["version"] = lenient.Cut(string(m.Version), 32)
		}
		worded = append(worded, banks.AuthMethod{ID: string(m.ID), Type: lenient.Cut(string(m.Type), 64),
			MediumName: lenient.PlainText(string(m.Name), 256), AdditionalInfo: info})
	}
	return worded
}

// offered notes the methods that the bank lists, and settles which of them is chosen without asking: the stored one, unless
// the customer is to choose anew.
func (t *talk) offered() {
	d, m := &t.dialog, &t.lasting.SCA
	if len(d.Picked) > 0 {
		return // these are the devices of a method
	}
	t.dirty = true
	all := authMethods(d.Position.Methods)
	m.Methods = all[:min(len(all), maxMethods)]
	switch wish := t.conv.ChooseMethod; {
	case t.wantsChoice() && d.Wish != wish:
		d.Wish, d.Replay = wish, nil
	case !t.wantsChoice() && len(d.Replay) == 0:
		d.Replay = slices.Clone(m.Picked)
	}
}

// wantsChoice reports whether there is a wish to choose the method anew that no authorisation has fulfilled.
func (t *talk) wantsChoice() bool {
	return t.conv.ChooseMethod != "" && t.conv.ChooseMethod != t.lasting.SCA.Wish
}

// chooseAgain chooses what the customer chose before. A bank that does not take it any more lists the methods for them to
// choose from.
func (t *talk) chooseAgain(ctx context.Context, id string) error {
	before := slices.Clone(t.dialog.Picked)
	err := t.choose(ctx, id)
	r, refused := asRefusal(err)
	if !refused || r.status >= 500 || r.status == http.StatusTooManyRequests || r.fault.Kind == banks.NeedsAuthorization {
		return err
	}
	t.dialog.Picked, t.dialog.Replay = before, nil
	if !slices.Contains(t.lasting.SCA.Picked, id) {
		return err
	}
	t.lasting.SCA.Picked, t.lasting.SCA.Medium, t.dirty = nil, "", true
	return nil
}

// picked notes a choice that the bank took.
func (t *talk) picked(chosen method) {
	d := &t.dialog
	d.Medium = ""
	if len(d.Picked) > 1 {
		d.Medium = lenient.PlainText(string(chosen.Name), 256)
	}
}

// used notes the method of an authorisation where there was nothing to choose.
func (t *talk) used() {
	d := &t.dialog
	if only := d.Position.Chosen; only != nil && only.ID != "" && len(d.Picked) == 0 {
		d.Only, t.dirty = only, true
	}
}

// remember stores what was chosen for an authorisation that has succeeded.
func (t *talk) remember() {
	d, m := &t.dialog, &t.lasting.SCA
	switch {
	case len(d.Picked) > 0:
		m.Picked, m.Medium = d.Picked, d.Medium
	case d.Only != nil:
		m.Methods, m.Picked, m.Medium = authMethods(methods{*d.Only}), []string{string(d.Only.ID)}, ""
	default:
		return
	}
	if t.conv.ChooseMethod != "" {
		m.Wish = t.conv.ChooseMethod
	}
	t.dirty = true
}

// restartWished gives up the open question, if that is wished for, and prepares another authorisation: of the same consent
// where the bank has a link for it, else of a new one. The caller seals that before anything is sent. A customer who has
// authorised meanwhile is not asked again.
func (t *talk) restartWished(ctx context.Context) (wished bool, err error) {
	d, wish := &t.dialog, t.conv.Restart
	if wish == "" || !t.conv.Interactive || d.Restarted == wish || d.Ask == nil || d.About != nil {
		return false, nil
	}
	away := d.Ask.Challenge.Type == banks.Decoupled || d.Ask.Challenge.Type == banks.RedirectTo
	d.Restarted, d.Ask, d.State, t.dirty = wish, nil, "", true
	if away && d.OAuth == nil && t.authorisedMeanwhile(ctx) {
		return true, nil
	}
	switch {
	case d.OAuth != nil:
		d.OAuth = nil // its page is asked for once more, under another state
	case d.ForReading || len(d.Start) > 0:
		t.beginAfresh()
	default:
		*d = d.anew()
		err = t.leaveConsent()
	}
	if t.wantsChoice() && t.dialog.Wish != t.conv.ChooseMethod {
		t.dialog.Replay = nil
	}
	return true, err
}

// authorisedMeanwhile reports whether the bank knows that the customer has authorised: the authorisation, or an earlier one
// of the same consent. A bank that cannot tell is not waited for.
func (t *talk) authorisedMeanwhile(ctx context.Context) bool {
	before := t.dialog.Position
	status, _, err := t.status(ctx)
	if err == nil && status.succeeded() {
		return true
	}
	t.dialog.Position = before
	if t.dialog.ForReading {
		return false
	}
	if consent, _, err := t.consentStatus(ctx); err != nil || consent != consentValid {
		return false
	}
	t.dialog.Position.SCAStatus = scaFinalised
	return true
}

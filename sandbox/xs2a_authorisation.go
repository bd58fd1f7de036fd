package sandbox

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

// An authorisation of a consent (Implementation Guidelines, section 7). Guarded by Bank.mu.
type authorisation struct {
	id        string
	status    scaStatus
	customer  *customer // nil: not identified
	method    *method   // chosen, or the only one
	devices   []device  // to choose from, after the method
	device    string
	challenge uint64 // point of the random space that the challenge follows from
	polls     int
	wrong     int    // wrong TANs
	ticket    string // of the customer's visit to our pages
	code      string // confirmation code that the client has to hand in
	redirect  string // TPP-Redirect-URI
	nok       string
	oauth     bool
	begun     time.Time
}

type scaStatus string

const (
	scaReceived      scaStatus = "received"
	psuIdentified    scaStatus = "psuIdentified"
	psuAuthenticated scaStatus = "psuAuthenticated"
	methodSelected   scaStatus = "scaMethodSelected"
	started          scaStatus = "started"
	unconfirmed      scaStatus = "unconfirmed"
	finalised        scaStatus = "finalised"
	failed           scaStatus = "failed"
	exempted         scaStatus = "exempted"
)

// patience is how long the customer may take for an authorisation.
const patience = 15 * time.Minute

func (s scaStatus) over() bool { return s == finalised || s == failed || s == exempted }

// authorisationView is what the client sees of an authorisation, in every answer that shows one.
type authorisationView struct {
	Status     scaStatus      `json:"scaStatus"`
	ID         string         `json:"authorisationId,omitempty"`
	Methods    []methodObject `json:"scaMethods,omitempty"`
	Chosen     *methodObject  `json:"chosenScaMethod,omitempty"`
	Challenge  *challengeData `json:"challengeData,omitempty"`
	Links      links          `json:"_links"`
	PSUMessage string         `json:"psuMessage,omitempty"`
}

type methodObject struct {
	Type        string `json:"authenticationType"`
	Version     string `json:"authenticationVersion,omitempty"`
	ID          string `json:"authenticationMethodId"`
	Name        string `json:"name,omitempty"`
	Explanation string `json:"explanation,omitempty"`
}

type challengeData struct {
	Image      string   `json:"image,omitempty"`
	Data       []string `json:"data,omitempty"`
	MaxLength  int      `json:"otpMaxLength,omitempty"`
	Format     string   `json:"otpFormat,omitempty"`
	Additional string   `json:"additionalInformation,omitempty"`

	MisspeltLength     int    `json:"optMaxLength,omitempty"` // version 1.1 at one group of banks
	MisspeltFormat     string `json:"optFormat,omitempty"`
	MisspeltAdditional string `json:"aditionalInformation,omitempty"`
}

// header is the value of ASPSP-SCA-Approach.
func (a approach) header() approach {
	if a == oauth {
		return redirect
	}
	return a
}

// approachOf is how the bank authenticates a customer; one it does not know yet is asked for their login first.
func (f *face) approachOf(c *customer, k *consent) approach {
	switch {
	case f.dialect.offersPages && !k.withoutPages:
		return redirect
	case f.dialect.approach != "":
		return f.dialect.approach
	case c == nil || c.persona.approach == "":
		return embedded
	default:
		return c.persona.approach
	}
}

// begin opens an authorisation for the consent. Needs Bank.mu.
func (f *face) begin(c *call, k *consent, redirectTo, nokTo string) *authorisation {
	a := &authorisation{
		id:       uuid.NewString(),
		status:   scaReceived,
		redirect: redirectTo,
		nok:      nokTo,
		begun:    c.now,
	}
	a.challenge = word(a.id)
	k.authorisations = append(k.authorisations, a)
	if c.customer != nil {
		a.customer = c.customer
		a.status = psuIdentified
	}
	switch f.approachOf(a.customer, k) {
	case redirect:
		a.status = started
		a.ticket = f.bank.issue(&ticket{face: f, consent: k, authorisation: a, loginHint: k.login})
	case oauth:
		a.status = started
		a.oauth = true
	}
	return a
}

// view shows an authorisation: its links are the possible next steps. Needs Bank.mu.
func (f *face) view(c *call, a *authorisation) authorisationView {
	self := c.link("/v1/consents/", c.consent.id, "/authorisations/", a.id)
	v := authorisationView{Status: a.status, ID: a.id, Links: links{"scaStatus": self}}
	switch {
	case f.dialect.noAuthorisations:
		self = c.link("/v1/consents/", c.consent.id)
		v.ID, v.Links = "", links{"self": self}
	case f.dialect.brokenStatus:
		v.Links["scaStatus"] = c.link("/v1/consents/authorisations/", a.id, "/status")
	}
	switch a.status {
	case scaReceived:
		v.Links["updatePsuIdentification"] = self
	case psuIdentified:
		if f.dialect.encryptedPassword {
			v.Links["updateEncryptedPsuAuthentication"] = self
		} else {
			v.Links["updatePsuAuthentication"] = self
		}
	case psuAuthenticated:
		if !f.dialect.noMethodLink {
			v.Links["selectAuthenticationMethod"] = self
		}
		if a.method == nil {
			for _, m := range a.customer.persona.methods {
				v.Methods = append(v.Methods, m.object())
			}
			break
		}
		for _, d := range a.devices {
			o := a.method.object()
			o.ID, o.Name = d.id, d.name
			v.Methods = append(v.Methods, o)
		}
	case methodSelected:
		chosen := a.method.object()
		for _, d := range a.devices {
			if d.id == a.device {
				chosen.ID, chosen.Name = d.id, d.name
			}
		}
		v.Chosen = &chosen
		v.Challenge = f.challenge(a)
		v.Links["authoriseTransaction"] = self
	case started:
		switch {
		case a.ticket != "":
			v.Links["scaRedirect"] = href{f.base(c.r) + "/login/" + a.ticket}
		case a.oauth:
			v.Links["scaOAuth"] = f.metadataLink(c)
			if f.dialect.nullOAuthLink {
				v.Links["scaOAuth"] = href{}
			}
		default:
			v.PSUMessage = "Bitte bestätigen Sie den Kontozugriff in Ihrer Banking-App."
		}
	case unconfirmed:
		v.Links["confirmation"] = self
	}
	return v
}

func (m *method) object() methodObject {
	return methodObject{Type: m.kind, Version: m.version, ID: m.id, Name: m.name, Explanation: m.explanation}
}

func (f *face) challenge(a *authorisation) *challengeData {
	length := len(f.bank.options.TAN)
	data := &challengeData{MaxLength: length, Format: cmp.Or(f.dialect.otpFormat, "integer"), Additional: tanPrompt}
	if f.dialect.noAuthorisations {
		data = &challengeData{MisspeltLength: length, MisspeltFormat: "integer", MisspeltAdditional: tanPrompt}
	}
	if a.method.blurred {
		data.Image = base64.StdEncoding.EncodeToString([]byte("no picture"))
	}
	switch a.method.form {
	case photo:
		data.Image = base64.StdEncoding.EncodeToString(matrix(a.challenge))
	case flicker:
		d := dice(a.challenge)
		data.Data = []string{flickerCode(decimal(d.between(10_000_000, 99_999_999)), decimal(d.between(1_000_000_000, 9_999_999_999)))}
	case markup:
		data.Data = []string{markupChallenge}
	default:
		data.Data = []string{"Kontozugriff " + decimal(int64(a.challenge%9000+1000))}
	}
	return data
}

func (f *face) startAuthorisation(c *call) error {
	if no := c.psu(); no != nil {
		return no
	}
	var step update
	if no := c.read(&step); no != nil {
		return no
	}
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	k, no := c.addressed()
	if no != nil {
		return no
	}
	if !(k.status == received || k.status == valid && (k.again || c.customer != nil && c.customer.persona.recent)) {
		return refuse(409, "STATUS_INVALID", "the consent is "+string(k.status))
	}
	if c.customer != nil && k.login == "" {
		if no := k.checkAccounts(c.customer); no != nil {
			return no
		}
		k.login = c.customer.login
	}
	redirectTo, nokTo := c.r.Header.Get("TPP-Redirect-URI"), c.r.Header.Get("TPP-Nok-Redirect-URI")
	if redirectTo == "" {
		redirectTo, nokTo = k.redirectTo, k.nokTo
	}
	approach := f.approachOf(c.customer, k)
	if (approach == redirect || approach == oauth) && redirectTo == "" {
		return formatError("TPP-Redirect-URI", "is missing")
	}
	a := f.begin(c, k, redirectTo, nokTo)
	if f.dialect.tokenFirst() {
		f.authenticated(c, a)
	}
	if !step.empty() {
		if no := f.apply(c, a, step); no != nil {
			return no
		}
	}
	v := f.view(c, a)
	c.w.Header().Set("Location", f.base(c.r)+"/v1/consents/"+k.id+"/authorisations/"+a.id)
	c.w.Header().Set("ASPSP-SCA-Approach", string(f.approachNow(k, a).header()))
	return c.answer(http.StatusCreated, v)
}

func (f *face) updateAuthorisation(c *call) error {
	if no := c.psu(); no != nil {
		return no
	}
	var step update
	if no := c.read(&step); no != nil {
		return no
	}
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	a, no := c.authorisation()
	if no != nil {
		return no
	}
	if no := f.apply(c, a, step); no != nil {
		return no
	}
	v := f.view(c, a)
	c.w.Header().Set("ASPSP-SCA-Approach", string(f.approachNow(c.consent, a).header()))
	return c.answer(http.StatusOK, v)
}

// approachNow is the approach once a method is known: one of the methods may be decoupled.
func (f *face) approachNow(k *consent, a *authorisation) approach {
	if a.method != nil && a.method.form == push {
		return decoupled
	}
	return f.approachOf(a.customer, k)
}

// update is the body of a step of the customer.
type update struct {
	PSUData          *psuData `json:"psuData"`
	MethodID         *string  `json:"authenticationMethodId"`
	TAN              *string  `json:"scaAuthenticationData"`
	ConfirmationCode *string  `json:"confirmationCode"`
}

type psuData struct {
	Password          string `json:"password"`
	EncryptedPassword string `json:"encryptedPassword"`
}

func (u update) empty() bool { return u == update{} }

// apply takes a step of the customer's. A step out of turn changes nothing. Needs Bank.mu.
func (f *face) apply(c *call, a *authorisation, step update) *refusal {
	given := 0
	for _, is := range []bool{step.PSUData != nil, step.MethodID != nil, step.TAN != nil, step.ConfirmationCode != nil} {
		if is {
			given++
		}
	}
	if given > 1 {
		return refuse(400, "FORMAT_ERROR", "one step at a time")
	}
	if !a.status.over() && c.now.Sub(a.begun) > patience {
		f.fail(c, a)
	}
	if a.status == failed {
		return refuse(400, "SCA_INVALID", "the authorisation has failed")
	}
	outOfTurn := refuse(409, "STATUS_INVALID", "the authorisation is "+string(a.status))
	switch {
	case given == 0: // identification by PSU-ID
		if c.r.Header.Get("PSU-ID") == "" {
			return formatError("PSU-ID", "is missing")
		}
		if a.status != scaReceived {
			return outOfTurn
		}
		a.customer = c.customer
		a.status = psuIdentified
		c.consent.login = c.customer.login
		return c.consent.checkAccounts(c.customer)
	case step.PSUData != nil:
		if a.status == scaReceived && c.customer != nil && c.r.Header.Get("PSU-ID") != "" {
			a.customer, a.status = c.customer, psuIdentified
			c.consent.login = c.customer.login
		}
		if a.status != psuIdentified {
			return outOfTurn
		}
		return f.takePassword(c, a, step.PSUData)
	case step.MethodID != nil:
		if a.status != psuAuthenticated {
			return outOfTurn
		}
		return f.takeMethod(c, a, *step.MethodID)
	case step.TAN != nil:
		if a.status != methodSelected {
			return outOfTurn
		}
		return f.takeTAN(c, a, *step.TAN)
	default:
		if a.status != unconfirmed {
			return outOfTurn
		}
		if *step.ConfirmationCode != a.code {
			f.fail(c, a)
			return refuse(400, "SCA_INVALID", "the confirmation code is wrong")
		}
		f.finish(c, a, finalised)
		return nil
	}
}

func (f *face) takePassword(c *call, a *authorisation, given *psuData) *refusal {
	password := given.Password
	if f.dialect.encryptedPassword {
		if given.Password != "" {
			return formatError("psuData.password", "has to be encrypted")
		}
		if given.EncryptedPassword == "" {
			return formatError("psuData.encryptedPassword", "is missing")
		}
		var err error
		if password, err = f.bank.decrypt(given.EncryptedPassword); err != nil {
			return formatError("psuData.encryptedPassword", "cannot be decrypted")
		}
	}
	if password == "" {
		return formatError("psuData.password", "is missing")
	}
	if no := refusalAtDoor(f.bank.authenticate(a.customer, password)); no != nil {
		f.fail(c, a) // the status tells a client who lost this answer that they must not send the password again
		return no
	}
	f.authenticated(c, a)
	return nil
}

// refusalAtDoor says in the protocol's words why a customer does not get in.
func refusalAtDoor(d door) *refusal {
	switch d {
	case wrongPIN:
		return refuse(401, "PSU_CREDENTIALS_INVALID", "Anmeldename oder PIN ist falsch.")
	case locked:
		return refuse(403, "SERVICE_BLOCKED", "Ihr Online-Zugang ist gesperrt.")
	case changePIN:
		return refuse(403, "SERVICE_BLOCKED", "PIN-Änderung erforderlich: Bitte ändern Sie Ihre PIN im Online-Banking.")
	}
	return nil
}

// authenticated goes on after the password, or after a token said who the customer is.
func (f *face) authenticated(c *call, a *authorisation) {
	switch methods := a.customer.persona.methods; {
	case len(methods) == 0:
		f.finish(c, a, exempted)
	case f.dialect.approach == decoupled:
		f.use(a, &pushTAN)
	case len(methods) == 1:
		f.use(a, &methods[0])
	default:
		a.status = psuAuthenticated
	}
}

// use goes on with a chosen method: to its devices, its challenge, or the app.
func (f *face) use(a *authorisation, m *method) {
	a.method, a.devices = m, m.devices
	if len(m.devices) > 0 {
		a.status = psuAuthenticated
		return
	}
	f.bank.counters.Challenges[a.customer.login]++
	a.status = methodSelected
	if m.form == push {
		a.status = started
	}
}

func (f *face) takeMethod(c *call, a *authorisation, id string) *refusal {
	if a.method != nil { // now the device
		if !slices.ContainsFunc(a.devices, func(d device) bool { return d.id == id }) {
			return &refusal{status: 400, code: "SCA_METHOD_UNKNOWN", path: "authenticationMethodId", text: "there is no such device"}
		}
		a.device, a.status = id, methodSelected
		f.bank.counters.Challenges[a.customer.login]++
		return nil
	}
	methods := a.customer.persona.methods
	i := slices.IndexFunc(methods, func(m method) bool { return m.id == id })
	if i < 0 {
		return &refusal{status: 400, code: "SCA_METHOD_UNKNOWN", path: "authenticationMethodId", text: "there is no such method"}
	}
	f.use(a, &methods[i])
	return nil
}

// takeTAN checks a TAN. The third wrong one ends the authorisation.
func (f *face) takeTAN(c *call, a *authorisation, tan string) *refusal {
	counters := &f.bank.counters
	if tan == "" {
		return formatError("scaAuthenticationData", "is empty")
	}
	if tan != f.bank.options.TAN {
		counters.WrongTANs[a.customer.login]++
		if a.wrong++; a.wrong == 3 {
			f.fail(c, a)
		}
		return refuse(401, "PSU_CREDENTIALS_INVALID", "Die TAN ist falsch.")
	}
	counters.TANs[a.customer.login]++
	f.finish(c, a, finalised)
	return nil
}

// finish ends an authorisation well: the consent becomes valid. Needs Bank.mu.
func (f *face) finish(c *call, a *authorisation, status scaStatus) {
	a.status = status
	c.consent.grant(c, a.customer, nil)
}

// fail ends an authorisation badly. A consent that was never valid is rejected with it.
func (f *face) fail(c *call, a *authorisation) {
	a.status = failed
	if c.consent.status == received {
		c.consent.status = rejected
		c.consent.lastAction = c.today
	}
}

func (f *face) listAuthorisations(c *call) error {
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	k, no := c.addressed()
	if no != nil {
		return no
	}
	ids := make([]string, 0, len(k.authorisations))
	for _, a := range k.authorisations {
		ids = append(ids, a.id)
	}
	return c.answer(http.StatusOK, struct {
		IDs []string `json:"authorisationIds"`
	}{ids})
}

func (f *face) getAuthorisation(c *call) error {
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	a, no := c.authorisation()
	if no != nil {
		return no
	}
	if !a.status.over() && c.now.Sub(a.begun) > patience {
		f.fail(c, a)
	}
	f.poll(c, a)
	v := f.view(c, a)
	return c.answer(http.StatusOK, struct {
		Status     scaStatus `json:"scaStatus"`
		PSUMessage string    `json:"psuMessage,omitempty"`
		Links      links     `json:"_links"`
	}{v.Status, v.PSUMessage, v.Links})
}

// poll counts a question how a decoupled request stands. Some customers have confirmed by the third.
func (f *face) poll(c *call, a *authorisation) {
	if a.status != started || a.method == nil || a.method.form != push {
		return
	}
	f.bank.counters.Polls[a.customer.login]++
	a.polls++
	patient := a.customer.persona.polls
	if patient == 0 && a.customer.persona.approach != decoupled { // a customer of a bank that is decoupled for everybody
		patient = 3
	}
	if a.polls == patient {
		f.finish(c, a, finalised)
	}
}

// authorisation is the one in the path; of the consent in the path, where the bank knows no authorisations.
func (c *call) authorisation() (*authorisation, *refusal) {
	k, no := c.addressed()
	if no != nil {
		return nil, no
	}
	if c.face.dialect.noAuthorisations {
		return k.authorisations[0], nil
	}
	for _, a := range k.authorisations {
		if a.id == c.r.PathValue("id") {
			return a, nil
		}
	}
	return nil, refuse(404, "RESOURCE_UNKNOWN", "there is no such authorisation")
}

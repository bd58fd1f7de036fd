package sandbox

import (
	"slices"
	"time"
)

// fintsShape is how one of the FinTS banks deviates from the plain one. Each stands for a habit of
// real banks.
type fintsShape struct {
	Path     string // on the server, and name in faults and counters
	Name     string
	BankCode string
	BIC      string
	Shows    string // one line, for the documentation

	anonymous anonymousDialog
	oneStep   bool // 3920 lists 900 alone, HITANS has version 1 alone, and orders are taken with function 999
	noMedium  bool // methods want the name of a medium, and HITAB lists none that is active
	eachLogin bool // every login needs strong authentication
	renewed   bool // parameters and methods change every night; the bank refuses the former ones and does not say why
	fewPolls  bool // a decoupled authentication may be asked for a few times only
	byHash    bool // methods of process variant 1
	tans      int  // TANs for one login; 0: one
	reads     fintsReads
}

// anonymousDialog is what a bank does with an anonymous dialog.
type anonymousDialog int

const (
	anonymousServed  anonymousDialog = iota
	anonymousRefused                 // 9800 and 9400
	anonymousEmpty                   // opens the dialog, and sends no bank parameters
)

// fintsShapes is the table of the FinTS banks. The first one is the plain one, which is the demo
// bank's other way in.
var fintsShapes = append([]fintsShape{
	{Path: fintsBank, Name: "Demobank", BankCode: bankCode, BIC: "DEMODE01XXX",
		Shows: "the plain specification"},
	{Path: "fints/onestep", Name: "Demo-Autobank", BankCode: "90090070", BIC: "DEMODEM2XXX",
		Shows:     "one-step TAN only (3920 lists 900, HITANS is version 1); no anonymous dialog (9800, 9400)",
		anonymous: anonymousRefused, oneStep: true},
	{Path: "fints/no-anonymous", Name: "Demo-Brückenbank", BankCode: "90090071", BIC: "DEMODEN2XXX",
		Shows: "an anonymous dialog opens, and brings no bank parameters", anonymous: anonymousEmpty},
	{Path: "fints/nomedium", Name: "Demo-Briefbank", BankCode: "90090072", BIC: "DEMODEP2XXX",
		Shows: "every method wants the name of a TAN medium, and none of those that HITAB lists is active", noMedium: true},
	{Path: "fints/eachlogin", Name: "Demo-Ringbank", BankCode: "90090073", BIC: "DEMODEQ2XXX",
		Shows: "every login needs strong customer authentication", eachLogin: true},
	{Path: "fints/renewed-bpd", Name: "Demo-Nachtbank", BankCode: "90090074", BIC: "DEMODER2XXX",
		Shows:   "bank parameters and methods change every night; the former ones are refused without a reason and without the new ones",
		renewed: true},
	{Path: "fints/few-polls", Name: "Demo-Parkbank", BankCode: "90090075", BIC: "DEMODES2XXX",
		Shows: "a decoupled authentication may be asked for four times, and is valid for 20 seconds", fewPolls: true},
	{Path: "fints/variant1", Name: "Demo-Einreichbank", BankCode: "90090076", BIC: "DEMODE52XXX",
		Shows: "methods of process variant 1: the challenge is made from an order's hash, and the order follows with the TAN", byHash: true},
	{Path: "fints/several-tans", Name: "Demo-Gemeinschaftsbank", BankCode: "90090077", BIC: "DEMODE62XXX",
		Shows: "a login takes two TANs: the first one is answered with the next challenge", tans: 2},
}, fintsReadShapes...)

// tanLife is how long a challenge is valid.
func (c *fintsCall) tanLife() time.Duration {
	if c.shape.fewPolls {
		return 20 * time.Second
	}
	return fintsTANLife
}

// germany is the zone of the times that the bank tells; without zone data it is an hour off in
// summer.
var germany = func() *time.Location {
	if zone, err := time.LoadLocation("Europe/Berlin"); err == nil {
		return zone
	}
	return time.FixedZone("CET", 3600)
}()

// oneStepMethod is how a bank without two-step methods names the one-step procedure in 3920.
const oneStepMethod = "900"

// night tells the days of a bank whose parameters change overnight from each other: 0, 1, 0, 1, …
func (c *fintsCall) night() int {
	if !c.shape.renewed {
		return 0
	}
	return int(c.today) & 1
}

// bpdVersion is the version of the bank parameters.
func (c *fintsCall) bpdVersion() int { return bpdVersion + c.night() }

// tanVersions are the versions of HKTAN that the bank takes.
func (c *fintsCall) tanVersions() []int {
	switch {
	case c.shape.oneStep:
		return []int{1}
	case c.night() == 1:
		return []int{7}
	}
	return []int{6, 7}
}

// bankMethods are the two-step methods of the bank, as HITANS lists them today.
func (c *fintsCall) bankMethods() []fintsMethod {
	if c.shape.oneStep {
		return nil
	}
	list := slices.Clone(fintsMethods)
	if c.shape.byHash {
		list = slices.DeleteFunc(list, func(m fintsMethod) bool { return m.of.form == push })
	}
	for i := range list {
		m := &list[i]
		m.byHash = c.shape.byHash
		if c.night() == 1 {
			m.function = m.function[:2] + string(m.function[2]+5)
		}
		if c.shape.noMedium {
			m.named = true
		}
		if c.shape.fewPolls {
			m.polls, m.firstPoll, m.nextPoll = 4, 1, 1
		}
	}
	return list
}

// methodsOf are the methods of a customer. One of whom nothing is asked has a method all the same:
// the bank says that it does not need it (3076).
func (c *fintsCall) methodsOf(customer *customer) []fintsMethod {
	own := customer.persona.methods
	if len(own) == 0 {
		own = []method{smsTAN}
	}
	var list []fintsMethod
	all := c.bankMethods()
	for i := range own {
		for _, m := range all {
			if m.of.id == own[i].id && len(m.of.devices) == len(own[i].devices) {
				list = append(list, m)
			}
		}
	}
	return list
}

// functionsOf are the customer's security functions, as 3920 lists them.
func (c *fintsCall) functionsOf(customer *customer) []string {
	if c.shape.oneStep {
		return []string{oneStepMethod}
	}
	functions := []string{}
	for _, m := range c.methodsOf(customer) {
		functions = append(functions, m.function)
	}
	return functions
}

// Package doctor looks at a node for what would fail, and says what to do: each look is of
// one thing, knows of the node what it asks (a value, or an interface of one method or two),
// and says one line or several to a [Report]. Which looks are made, and in which order, is
// the command's affair.
//
// A look changes nothing, but for what a real question leaves: a token's issuer is
// remembered, and what the authorities show of the node's clock. None of them takes longer
// than half a minute, where no line is there at all.
package doctor

// Report is what was found. It is for one goroutine.
type Report struct {
	// Say is given each line: level is "ok", "note" or "FAULT".
	Say func(level, what, detail string)
	// Faults is how many were FAULT.
	Faults int
}

// Check says that a thing is well, in detail; an error is a fault, and its text says what to
// do.
func (d *Report) Check(what, detail string, err error) {
	if err != nil {
		d.Faults++
		d.Say("FAULT", what, err.Error())
		return
	}
	d.Say("ok", what, detail)
}

// Note says what is worth knowing and no fault.
func (d *Report) Note(what, detail string) { d.Say("note", what, detail) }

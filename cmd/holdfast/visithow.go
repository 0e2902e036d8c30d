package main

import (
	"errors"
	"fmt"

	"holdfast/collectors/telegram/accounts"
)

// How a page that is watched is visited: with which session, and what is done to it
// before it is looked at. A visit that is to have a session never goes out without: where
// there is none of that name its Task waits.

// noSession is said in the place of a session where there is to be none any more; no
// session is called so.
const noSession = "none"

// visitHow is a part of a watch of a page; the zero value is nobody's login, and what a
// capture does by itself.
type visitHow struct {
	Session string `json:"session,omitempty"` // a name; its cookies are in the vault of a node alone
	Consent string `json:"consent,omitempty"` // leave; "" is refuse
	More    string `json:"more,omitempty"`    // none; "" is buttons
	Decoded bool   `json:"decoded,omitempty"` // the browser speaks with the site itself
	Films   string `json:"films,omitempty"`   // yt-dlp; "" is that no program is run
}

// howFlags are what a row says of it; "" is nothing.
type howFlags struct{ session, consent, more, decoded, films string }

// given are the flags that were, in the words of the command.
func (f howFlags) given() (flags []string) {
	for _, k := range [][2]string{{"session", f.session}, {"consent", f.consent}, {"more", f.more}, {"decoded", f.decoded}, {"films-with", f.films}} {
		if k[1] != "" {
			flags = append(flags, "--"+k[0])
		}
	}
	return flags
}

// how checks what a row says, as far as that needs no node.
func (f howFlags) how() (h visitHow, err error) {
	if f.session != "" && f.session != noSession {
		if h.Session = f.session; !accounts.ValidName(f.session) {
			return h, fmt.Errorf("session %.60q: a name of `holdfast session list`, or %s", f.session, noSession)
		}
	}
	for what, k := range map[string]struct {
		said, first, other string
		to                 *string
	}{"consent": {f.consent, "refuse", "leave", &h.Consent}, "more": {f.more, "buttons", "none", &h.More}, "films-with": {f.films, "none", filmsYtdlp, &h.Films}} {
		switch k.said {
		case "", k.first:
		case k.other:
			*k.to = k.other
		default:
			return h, fmt.Errorf("%s %.20q: %s or %s", what, k.said, k.first, k.other)
		}
	}
	if f.decoded != "" && f.decoded != "yes" && f.decoded != "no" {
		return h, fmt.Errorf("decoded %.20q: yes or no", f.decoded)
	}
	h.Decoded = f.decoded == "yes"
	return h, nil
}

// take takes over what a row gives.
func (h *visitHow) take(f howFlags, other visitHow) {
	if f.session != "" {
		h.Session = other.Session
	}
	if f.consent != "" {
		h.Consent = other.Consent
	}
	if f.more != "" {
		h.More = other.More
	}
	if f.decoded != "" {
		h.Decoded = other.Decoded
	}
	if f.films != "" {
		h.Films = other.Films
	}
}

// fits refuses what cannot be done together.
func (h visitHow) fits() error {
	if h.Films != "" && h.Decoded {
		return errors.New("--films-with goes through the recording proxy, and with --decoded there is none: say --decoded=no or --films-with none")
	}
	return nil
}

// sound says whether it is what holdfast keeps.
func (h visitHow) sound() bool {
	return (h.Session == "" || h.Session != noSession && accounts.ValidName(h.Session)) && (h.Consent == "" || h.Consent == "leave") && (h.More == "" || h.More == "none") && (h.Films == "" || h.Films == filmsYtdlp) && h.fits() == nil
}

// page is it in the words of a capture.
func (h visitHow) page() pageFlags {
	f := pageFlags{Consent: "refuse", More: "buttons"}
	if h.Consent != "" {
		f.Consent = h.Consent
	}
	if h.More != "" {
		f.More = h.More
	}
	f.Films = h.Films
	return f
}

// row adds it to a line of `watch list`.
func (h visitHow) row(row map[string]any) {
	f := h.page()
	row["session"], row["consent"], row["more"], row["decoded"], row["films"] = h.Session, f.Consent, f.More, h.Decoded, h.Films
}

func (h visitHow) text() (text string) {
	if h.Session != "" {
		text += "  session " + h.Session
	}
	if h.Consent != "" {
		text += "  consent " + h.Consent
	}
	if h.More != "" {
		text += "  more " + h.More
	}
	if h.Decoded {
		text += "  decoded"
	}
	if h.Films != "" {
		text += "  films with " + h.Films
	}
	return text
}

// cells are it as `watch add --list` reads it.
func (h visitHow) cells() []string {
	decoded := ""
	if h.Decoded {
		decoded = "yes"
	}
	return []string{h.Session, h.Consent, h.More, decoded, h.Films}
}

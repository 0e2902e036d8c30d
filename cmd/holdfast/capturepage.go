package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"holdfast"
)

// pageFlags say what is done to a page before it is looked at.
type pageFlags struct {
	Consent string `json:"consent"`
	More    string `json:"more"`
	Decoded bool   `json:"decoded,omitempty"` // as its own flag says
	Films   string `json:"films,omitempty"`   // yt-dlp; "" is that no program is run
}

func (f *pageFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Consent, "consent", "refuse", "of a page: refuse a banner that asks for consent (accept where nothing refuses; the page before is kept), or leave it")
	cmd.Flags().StringVar(&f.More, "more", "buttons", "of a page: press buttons that give more of it (\"load more\"), at most 20, or none")
	cmd.Flags().StringVar(&f.Films, "films-with", "", "of a page: yt-dlp, which is then run for its address, through the same recording proxy; node.json (yt_dlp) or HOLDFAST_YTDLP names it")
}

func (f pageFlags) check() error {
	if f.Consent != "refuse" && f.Consent != "leave" {
		return usageError("--consent %.20q: refuse or leave", f.Consent)
	}
	if f.More != "buttons" && f.More != "none" {
		return usageError("--more %.20q: buttons or none", f.More)
	}
	if f.Films != "" && f.Films != filmsYtdlp {
		return usageError("--films-with %.20q: yt-dlp", f.Films)
	}
	return nil
}

// filmsYtdlp is the one program that fetches films.
const filmsYtdlp = "yt-dlp"

// filmsAlone refuses what nothing would come of.
func filmsAlone(sources []holdfast.Source, o captureOptions) error {
	switch {
	case o.page.Films == "":
		return nil
	case o.decoded:
		return usageError("--films-with goes through the recording proxy, and with --decoded there is none: ask for the page twice")
	case len(sources) > 0 && !slices.ContainsFunc(sources, func(s holdfast.Source) bool { return !isTelegram(s) }):
		return usageError("--films-with is about web pages, and none is asked for")
	}
	return nil
}

// mayFilms refuses films with a program that nobody has named to this node. A node that
// does the Task in another's place may have none: its capture says so.
func (n *node) mayFilms(o captureOptions) error {
	if o.page.Films == "" || o.door {
		return nil
	}
	path := n.ytdlp()
	if path == "" {
		return usageError("--films-with yt-dlp: no yt-dlp is named on this node; put its absolute path into node.json (yt_dlp), or into HOLDFAST_YTDLP")
	}
	if st, err := os.Stat(path); err != nil || !filepath.IsAbs(path) || st.IsDir() {
		return usageError("--films-with yt-dlp: %.200s, which node.json (yt_dlp) or HOLDFAST_YTDLP names, is no program at an absolute path", path)
	}
	return nil
}

// options are those of the Collector; none for what it does by itself.
func (f pageFlags) options(decoded bool) (json.RawMessage, error) {
	f.Decoded = decoded
	if f.Consent == "" { // not asked for by a command
		f.Consent, f.More = "refuse", "buttons"
	}
	if f == (pageFlags{Consent: "refuse", More: "buttons"}) {
		return nil, nil
	}
	return json.Marshal(f)
}

// recipesOf is the directory of recipes of a node, which somebody made there; "" if nobody
// did.
func recipesOf(dir string) string {
	name := filepath.Join(dir, "recipes")
	if st, err := os.Stat(name); err != nil || !st.IsDir() {
		return ""
	}
	return name
}

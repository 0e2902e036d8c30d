package alert

import (
	"encoding/xml"
	"fmt"
	"time"

	"holdfast/wholefile"
)

// feed is RFC 4287, as far as it is needed.
type feed struct {
	XMLName xml.Name `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string   `xml:"id"`
	Title   string   `xml:"title"`
	Updated string   `xml:"updated"`
	Author  string   `xml:"author>name"`
	Entries []entry  `xml:"entry"`
}

type entry struct {
	ID      string `xml:"id"`
	Title   string `xml:"title"`
	Updated string `xml:"updated"`
	Content string `xml:"content"`
}

// writeAtom puts a file in the place of what is there, whole: who reads it sees the old
// one or the new one. Its mode is for everybody, as a feed reader is somebody else.
func writeAtom(path string, last []Event) error {
	if len(last) == 0 {
		return nil
	}
	f := feed{ID: "urn:holdfast:alerts:" + last[0].Node + ":" + last[0].Rule, Title: "holdfast: " + last[0].Rule, Updated: last[0].At, Author: last[0].Node}
	if f.Updated == "" {
		f.Updated = time.Unix(0, 0).UTC().Format(time.RFC3339)
	}
	for _, e := range last {
		f.Entries = append(f.Entries, entry{ID: "urn:holdfast:alert:" + e.ID, Title: cut(e.Words, 200), Updated: e.At, Content: e.Words + "\n" + e.Text})
	}
	b, err := xml.MarshalIndent(f, "", " ")
	if err != nil {
		return fmt.Errorf("write feed: %w", err)
	}
	if err := wholefile.Replace(path, append([]byte(xml.Header), append(b, '\n')...), 0o644); err != nil {
		return fmt.Errorf("write feed: %w", err)
	}
	return nil
}

func cut(s string, most int) string {
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i] + "…"
		}
	}
	return s
}

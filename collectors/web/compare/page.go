package compare

import (
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"

	"holdfast/messages"
)

// Side is one of the two captures, as the page names it. From is where it was read, and
// what was found of that; "" says nothing of it.
type Side struct{ ID, Manifest, Source, At, State, From string }

// Shown is a pair of pictures for the page. Why is why they were not compared; "": they
// were. A and B open the bytes of the pictures; nil: there is none.
type Shown struct {
	Name string
	Why  string
	Pictures
	A, B func() (io.ReadCloser, error)
}

// Page writes one HTML page that needs nothing else and runs nothing: it has no script,
// and its policy lets none run. What came from outside is escaped and its unseen
// characters are shown. The pictures are the bytes of the captures, as they are, with the
// regions drawn above them; they are streamed. A PNG's bytes alone are put there: what is
// no PNG is left out.
func Page(w io.Writer, a, b Side, algorithm string, r *Result, pictures []Shown) error {
	t, err := template.New("page").Funcs(template.FuncMap{"lines": linesOf, "visible": messages.Visible}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	data := struct {
		A, B      Side
		Algorithm string
		R         *Result
		None      bool
	}{a, b, algorithm, r, len(pictures) == 0}
	if err := t.ExecuteTemplate(w, "head", data); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	for _, p := range pictures {
		if err := p.write(w, t); err != nil {
			return fmt.Errorf("write comparison: picture %s: %w", p.Name, err)
		}
	}
	if err := t.ExecuteTemplate(w, "tail", data); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

func (p Shown) write(w io.Writer, t *template.Template) error {
	if err := t.ExecuteTemplate(w, "picture", p); err != nil {
		return err
	}
	for _, k := range []struct {
		what          string
		open          func() (io.ReadCloser, error)
		regions       []Region
		width, height int
	}{{"before", p.A, p.Pictures.A, p.WidthA, p.HeightA}, {"after", p.B, p.Pictures.B, p.WidthB, p.HeightB}} {
		if _, err := fmt.Fprintf(w, "<figure><figcaption>%s</figcaption><div class=\"shot\">", k.what); err != nil {
			return err
		}
		if k.open != nil {
			if err := embed(w, k.open, k.what); err != nil {
				return err
			}
		}
		for _, r := range k.regions {
			if k.width > 0 && k.height > 0 {
				if _, err := fmt.Fprintf(w, "<i style=\"left:%.3f%%;top:%.3f%%;width:%.3f%%;height:%.3f%%\"></i>",
					part(r.X, k.width), part(r.Y, k.height), part(r.W, k.width), part(r.H, k.height)); err != nil {
					return err
				}
			}
		}
		if _, err := io.WriteString(w, "</div></figure>\n"); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "</div></section>\n")
	return err
}

func part(n, of int) float64 { return 100 * float64(n) / float64(of) }

// embed puts a PNG's bytes into the page.
func embed(w io.Writer, open func() (io.ReadCloser, error), what string) error {
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	magic := make([]byte, 8)
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != "\x89PNG\r\n\x1a\n" {
		_, err := io.WriteString(w, "<p>It is no PNG.</p>")
		return err
	}
	if _, err := fmt.Fprintf(w, "<img alt=\"The page %s\" src=\"data:image/png;base64,", what); err != nil {
		return err
	}
	e := base64.NewEncoder(base64.StdEncoding, w)
	in := &io.LimitedReader{R: r, N: MaxPicture}
	if _, err := io.Copy(e, io.MultiReader(strings.NewReader(string(magic)), in)); err != nil {
		return err
	}
	err = e.Close()
	_, werr := io.WriteString(w, "\">")
	return errors.Join(err, werr)
}

// line is what the page shows of one block.
type line []Run

// linesOf parts runs at the ends of blocks, and leaves out blocks that are far from
// anything that differs.
func linesOf(runs []Run) (out []line) {
	var all []line
	cur := line{}
	for _, r := range runs {
		for i, s := range strings.Split(r.Text, "\n") {
			if i > 0 {
				all, cur = append(all, cur), line{}
			}
			if s = strings.TrimSpace(s); s != "" {
				cur = append(cur, Run{r.Op, r.Ignored, s})
			}
		}
	}
	all = append(all, cur)
	for _, l := range all {
		if len(l) > 0 {
			out = append(out, l)
		}
	}
	return out
}

const pageText = `{{define "head"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Comparison of two captures</title>
<style>
:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:90rem;margin:0 auto;padding:1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:start;vertical-align:top;padding:.25rem .75rem .25rem 0;overflow-wrap:anywhere}th[scope=row]{white-space:nowrap;overflow-wrap:normal}
del{background:#ffd7d5;color:#5a0b06}ins{background:#c9f0d1;color:#04330f;text-decoration:none;border-bottom:2px solid}
.grey,.grey del,.grey ins{background:#e6e6e6;color:#4a4a4a}
.text p{margin:.25rem 0;overflow-wrap:anywhere;border-inline-start:3px solid transparent;padding-inline-start:.5rem}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:1rem}figure{margin:0;min-width:0}.shot{position:relative;line-height:0}.shot img{width:100%;height:auto}.shot p{line-height:1.5}
.shot i{position:absolute;outline:3px solid #c8102e;background:rgba(200,16,46,.14);box-sizing:border-box;min-height:3px;min-width:3px}
</style></head><body><main>
<h1>Comparison of two captures</h1>
<p><strong>{{if .R.Same}}The same, but for what does not count.{{else}}They differ.{{end}}</strong>
Words added: {{.R.Added}}, removed: {{.R.Removed}}; that differ and do not count, in grey: {{.R.IgnoredWords}}.{{if .R.Cut}} A bound was met: not all of the pages was compared.{{end}}</p>
<table><tr><th scope="row"></th><th scope="col">before</th><th scope="col">after</th></tr>
<tr><th scope="row">capture</th><td><code>{{.A.ID}}</code></td><td><code>{{.B.ID}}</code></td></tr>
<tr><th scope="row">manifest</th><td><code>{{.A.Manifest}}</code></td><td><code>{{.B.Manifest}}</code></td></tr>
<tr><th scope="row">source</th><td><bdi>{{visible .A.Source}}</bdi></td><td><bdi>{{visible .B.Source}}</bdi></td></tr>
<tr><th scope="row">received</th><td>{{.A.At}}</td><td>{{.B.At}}</td></tr>
<tr><th scope="row">state</th><td>{{.A.State}}</td><td>{{.B.State}}</td></tr>
{{if or .A.From .B.From}}<tr><th scope="row">read from</th><td><bdi>{{visible .A.From}}</bdi></td><td><bdi>{{visible .B.From}}</bdi></td></tr>
{{end}}<tr><th scope="row">fingerprint</th><td><code>{{.R.A}}</code></td><td><code>{{.R.B}}</code></td></tr></table>
<p>Rules of the fingerprint: {{.Algorithm}}. This page is derived and under no signature: the two captures are what counts.</p>
<h2>How it is built</h2>
{{if .R.Changes}}<table><tr><th scope="col">what</th><th scope="col">became</th><th scope="col">value</th></tr>
{{range .R.Changes}}<tr{{if .Ignored}} class="grey"{{end}}><td>{{.Part}}{{if .Ignored}} ({{.Ignored}}){{end}}</td><td>{{.Op}}</td><td><bdi>{{visible .Value}}</bdi></td></tr>
{{end}}</table>{{else}}<p>No title, heading, link, picture or word of the head is in one of the two alone.</p>{{end}}
<h2>Text</h2><div class="text">
{{range lines .R.Runs}}<p dir="auto">{{range .}}{{if .Ignored}}<span class="grey" title="{{.Ignored}}">{{end}}{{if eq .Op "removed"}}<del>{{visible .Text}}</del>{{else if eq .Op "added"}}<ins>{{visible .Text}}</ins>{{else}}{{visible .Text}}{{end}}{{if .Ignored}}</span>{{end}} {{end}}</p>
{{end}}</div>
<h2>Pictures</h2>
{{if .None}}<p>There is no picture of both.</p>{{else}}<p>A picture is compared as it is, row by row: what does not count in the text is marked here too.</p>{{end}}
{{end}}
{{define "picture"}}<section><h3>{{.Name}}</h3>{{if .Why}}<p>Not compared: {{visible .Why}}</p>{{else if .Same}}<p>Every pixel is equal.</p>{{else}}<p>{{len .Pictures.A}} regions of the first and {{len .Pictures.B}} of the second differ.</p>{{end}}<div class="pair">{{end}}
{{define "tail"}}</main></body></html>
{{end}}`

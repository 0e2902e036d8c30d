package main

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast/collectors/telegram/telegramtest"
)

// publicPagesOf serves what an own Telegram's channels are, in the shape of t.me's
// pages. The shape is written from what programs that read the real pages expect.
type publicPagesOf struct {
	o      *ownTelegram
	mu     sync.Mutex
	forged map[string]string // texts that the pages show instead, by NAME/ID
	asked  []string
	status int // what every page is answered with; 0: with itself
}

// tme is
//
//	tme start NAME TELEGRAM          https://…, in $NAME; its certificate in $NAME_ca
//	tme forge NAME USER ID TEXT      its pages show this text of a post
//	tme asked NAME N                 it was asked for N pages
//	tme fail NAME STATUS             every page is answered with that from now on; 0: no more
func (w *telegramWorld) tme(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: tme start|forge|asked NAME …")
	}
	k := "tme " + key(ts, args[1])
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pages == nil {
		w.pages = map[string]*publicPagesOf{}
	}
	p := w.pages[k]
	switch args[0] {
	case "start":
		p = &publicPagesOf{o: w.at[key(ts, args[2])], forged: map[string]string{}}
		s := httptest.NewTLSServer(p)
		ts.Defer(func() { s.CloseClientConnections(); s.Close() })
		w.pages[k] = p
		ca := ts.MkAbs(args[1] + ".pem")
		ts.Check(os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
		ts.Setenv(args[1], s.URL)
		ts.Setenv(args[1]+"_ca", ca)
	case "forge":
		p.mu.Lock()
		p.forged[args[2]+"/"+args[3]] = args[4]
		p.mu.Unlock()
	case "fail":
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		p.mu.Lock()
		p.status = n
		p.mu.Unlock()
	case "asked":
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := strconv.Itoa(len(p.asked)); n != args[2] {
			ts.Fatalf("asked for %s pages, want %s: %q", n, args[2], p.asked)
		}
	}
}

// shownPost is a post as the pages show it.
type shownPost struct {
	id     int
	text   string
	at     time.Time
	edited bool
}

func (p *publicPagesOf) posts(name string, ch *telegramtest.Channel) (all []shownPost) {
	for _, e := range ch.Life() {
		i := slices.IndexFunc(all, func(s shownPost) bool { return s.id == e.ID })
		switch {
		case e.What == telegramtest.Posted:
			all = append(all, shownPost{id: e.ID, text: e.Text, at: e.At})
		case e.What == telegramtest.Edited:
			all[i].text, all[i].edited = e.Text, true
		case e.What == telegramtest.Deleted:
			all = slices.Delete(all, i, i+1)
		}
	}
	for i := range all {
		if t, ok := p.forged[fmt.Sprintf("%s/%d", name, all[i].id)]; ok {
			all[i].text = t
		}
	}
	return all
}

// ServeHTTP implements http.Handler.
func (p *publicPagesOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := regexp.MustCompile(`^/(s/)?([A-Za-z0-9_]+)(?:/([0-9]+))?$`).FindStringSubmatch(r.URL.Path)
	if m == nil || r.URL.Path == "/favicon.ico" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	p.asked = append(p.asked, r.URL.String())
	if p.status != 0 {
		w.WriteHeader(p.status)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	p.o.mu.Lock()
	ch := p.o.channels[m[2]]
	for name, c := range p.o.channels {
		if strings.EqualFold(name, m[2]) {
			ch = c
		}
	}
	p.o.mu.Unlock()
	if ch == nil {
		fmt.Fprint(w, `<!DOCTYPE html><html><body><div class="tgme_page">Telegram: Contact</div></body></html>`)
		return
	}
	posts := p.posts(ch.Username, ch)
	if m[1] == "" {
		id, _ := strconv.Atoi(m[3])
		i := slices.IndexFunc(posts, func(s shownPost) bool { return s.id == id })
		fmt.Fprint(w, `<!DOCTYPE html><html><head><meta charset="utf-8"></head><body class="widget_frame_base tgme_widget body_widget_post">`)
		if i < 0 {
			fmt.Fprint(w, `<div class="tgme_widget_message_error">Post not found</div>`)
		} else {
			p.post(w, ch, posts[i])
		}
		fmt.Fprint(w, `</body></html>`)
		return
	}
	if before, _ := strconv.Atoi(r.URL.Query().Get("before")); before > 0 {
		posts = slices.DeleteFunc(posts, func(s shownPost) bool { return s.id >= before })
	}
	fmt.Fprintf(w, `<!DOCTYPE html><html><head><meta charset="utf-8"></head><body><div class="tgme_channel_info_header_title"><span dir="auto">%s</span></div><section class="tgme_channel_history js-message_history">`, html.EscapeString(ch.Title))
	for _, s := range posts[max(0, len(posts)-20):] {
		fmt.Fprint(w, `<div class="tgme_widget_message_wrap js-widget_message_wrap">`)
		p.post(w, ch, s)
		fmt.Fprint(w, `</div>`)
	}
	fmt.Fprint(w, "</section></body></html>\n<!-- page generated in 22.4ms -->\n")
}

func (p *publicPagesOf) post(w http.ResponseWriter, ch *telegramtest.Channel, s shownPost) {
	view := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"c":-%d,"p":%d,"t":1700000000,"h":"abc"}`, ch.ID, s.id))
	edited := ""
	if s.edited {
		edited = "edited &nbsp;"
	}
	fmt.Fprintf(w, `<div class="tgme_widget_message text_not_supported_wrap js-widget_message" data-post="%[1]s/%[2]d" data-view="%[3]s"><div class="tgme_widget_message_bubble">
<div class="tgme_widget_message_author accent_color"><a class="tgme_widget_message_owner_name" href="https://t.me/%[1]s"><span dir="auto">%[4]s</span></a></div>
<div class="tgme_widget_message_text js-message_text" dir="auto">%[5]s</div>
<div class="tgme_widget_message_footer compact js-message_footer"><div class="tgme_widget_message_info short js-message_info"><span class="tgme_widget_message_views">1</span><span class="copyonly"> views</span><span class="tgme_widget_message_meta">%[6]s<a class="tgme_widget_message_date" href="https://t.me/%[1]s/%[2]d"><time datetime="%[7]s" class="time">00:00</time></a></span></div></div></div></div>`,
		ch.Username, s.id, view, html.EscapeString(ch.Title), strings.ReplaceAll(html.EscapeString(s.text), "\n", "<br/>"), edited, s.at.UTC().Format("2006-01-02T15:04:05+00:00"))
}

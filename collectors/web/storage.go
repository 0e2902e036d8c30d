package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
	"holdfast/collectors/web/secrets"
)

// blank is what a window of ours is answered with in a site's place: nothing runs in it,
// and it asks for nothing, not even an icon.
const blank = `<!doctype html><html><head><meta charset="utf-8"><title></title><link rel="icon" href="data:,"></head></html>`

// storageSecrets are the values that may give access.
func storageSecrets(origins []collectors.Origin) (values []string) {
	for _, o := range origins {
		for _, k := range o.Items {
			values = append(values, secrets.OfStorage(k.Name, k.Value)...)
		}
	}
	return values
}

// maxStorageSecrets bounds them: each is looked for in some twenty forms.
const maxStorageSecrets = 1000

// CheckStorage refuses local storage that has more values which may give access than a
// capture can look for. The error wraps [collectors.ErrStorage].
func CheckStorage(origins []collectors.Origin) error {
	if n := len(storageSecrets(origins)); n > maxStorageSecrets {
		return fmt.Errorf("keep local storage: %w: %d values in it may give access, at most %d: leave out the origins that are not of the site", collectors.ErrStorage, n, maxStorageSecrets)
	}
	return nil
}

// furnish puts what the session keeps into the local storage of its origins, before the
// page is asked for. A window beside the page, in the same context, is opened at each
// origin and answered by us in the site's place, so no script runs; it is closed again. The
// page's own window has no trace of it. Nobody is asked: a browser connects in advance to
// where it is sent (seen with --decoded), so the proxy lets nothing out meanwhile. Each
// command is in the log, names and values are not.
func (t *tab) furnish(ctx context.Context, s *collectors.Session) error {
	if len(s.Origins) == 0 {
		return nil
	}
	t.saw(func() { t.furnishing = true })
	defer t.saw(func() { t.furnishing = false })
	w, err := t.beside(ctx)
	if err == nil {
		for _, o := range s.Origins {
			if err = w.put(o); err != nil {
				break
			}
		}
		err = errors.Join(err, w.close())
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errDead) || ctx.Err() != nil:
		return fmt.Errorf("use session %s: %w", s.Name, err)
	}
	return fmt.Errorf("use session %s: %w: the browser does not take its local storage: %w", s.Name, collectors.ErrSession, err)
}

// annex is a window of ours beside the page.
type annex struct {
	session
	t      *tab
	target proto.TargetTargetID
}

func (t *tab) beside(ctx context.Context) (*annex, error) {
	top := t.top(ctx)
	target, err := proto.TargetCreateTarget{URL: "about:blank", BrowserContextID: t.context}.Call(top)
	if err != nil {
		return nil, err
	}
	w := &annex{t: t, target: target.TargetID}
	at, err := proto.TargetAttachToTarget{TargetID: w.target, Flatten: true}.Call(top)
	if err != nil {
		return nil, err // the context ends with the page's window
	}
	w.session = session{link: t.b.link, id: string(at.SessionID), ctx: ctx, log: t.log}
	t.b.handle(w.id, w.event)
	return w, w.all(proto.PageEnable{}, proto.FetchEnable{})
}

// event answers what the window asks for. It runs on the link's goroutine.
func (w *annex) event(method string, params json.RawMessage) {
	var e proto.FetchRequestPaused
	if method != "Fetch.requestPaused" || json.Unmarshal(params, &e) != nil {
		return
	}
	if e.ResourceType != proto.NetworkResourceTypeDocument {
		w.tell(proto.FetchFailRequest{RequestID: e.RequestID, ErrorReason: proto.NetworkErrorReasonBlockedByClient})
		return
	}
	w.tell(proto.FetchFulfillRequest{RequestID: e.RequestID, ResponseCode: 200, Body: []byte(blank),
		ResponseHeaders: []*proto.FetchHeaderEntry{{Name: "Content-Type", Value: "text/html; charset=utf-8"}, {Name: "Content-Security-Policy", Value: "default-src 'none'"}}})
}

// put fills one origin and looks whether all of it is there: the browser has a limit.
func (w *annex) put(o collectors.Origin) error {
	got, err := proto.PageNavigate{URL: o.Origin + "/"}.Call(w)
	if err != nil {
		return err
	}
	if got.ErrorText != "" {
		return fmt.Errorf("of %s: %s", o.Origin, got.ErrorText)
	}
	at := storageAt(o.Origin)
	for _, k := range o.Items {
		if err := (proto.DOMStorageSetDOMStorageItem{StorageID: at, Key: k.Name, Value: k.Value}).Call(w); err != nil {
			return fmt.Errorf("of %s: %w", o.Origin, err)
		}
	}
	is, err := storageOf(w.session, o.Origin)
	if err == nil && len(is) < len(o.Items) {
		err = fmt.Errorf("it took %d of %d items", len(is), len(o.Items))
	}
	if err != nil {
		return fmt.Errorf("of %s: %w", o.Origin, err)
	}
	return nil
}

func (w *annex) close() error {
	w.t.b.handle(w.id, nil)
	_, err := proto.TargetCloseTarget{TargetID: w.target}.Call(w.t.top(w.ctx))
	return err
}

func storageAt(origin string) *proto.DOMStorageStorageID {
	return &proto.DOMStorageStorageID{SecurityOrigin: origin, IsLocalStorage: true}
}

// storageOf reads the local storage of an origin that a frame of the window is of.
func storageOf(s session, origin string) (items []collectors.Item, err error) {
	got, err := proto.DOMStorageGetDOMStorageItems{StorageID: storageAt(origin)}.Call(s)
	if err != nil {
		return nil, err
	}
	for _, e := range got.Entries {
		if len(e) == 2 {
			items = append(items, collectors.Item{Name: e[0], Value: e[1]})
		}
	}
	return items, nil
}

// storedLimit bounds the look at what a page has stored.
const storedLimit = 5 * time.Second

// lookStored looks at what the page has in its local storage in the end: a token that it
// was given meanwhile gives access too. What cannot be read, or is too much, is told, and
// ends nothing: a page could else keep itself from being captured.
func (x *capture) lookStored(ctx context.Context) {
	if x.req.Session == nil {
		return
	}
	ctx, stop := context.WithTimeout(ctx, storedLimit)
	defer stop()
	document := ""
	x.tab.saw(func() { document = x.tab.document })
	origin := webOrigin(document)
	if origin == "" {
		return
	}
	items, err := storageOf(x.tab.session.with(ctx), origin)
	if err != nil {
		x.unstored = "could not be read"
		return
	}
	slices.SortStableFunc(items, func(a, b collectors.Item) int { // those first that a bound is not to leave out
		return cmp.Compare(rank(a), rank(b))
	})
	x.stored = storageSecrets([]collectors.Origin{{Origin: origin, Items: items}})
	if len(x.stored) > maxStorageSecrets {
		x.stored, x.unstored = x.stored[:maxStorageSecrets], "is more than was looked for"
	}
}

func rank(k collectors.Item) int {
	if secrets.Telling(k.Name) {
		return 0
	}
	return 1
}

// webOrigin is the origin of an address; "" is one that has no storage of its own.
func webOrigin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	if port := u.Port(); port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return u.Scheme + "://" + host
}

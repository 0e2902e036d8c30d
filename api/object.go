package api

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"holdfast"
)

// Objects opens the bytes of what a Capture has, after Custody was told who looks, and
// why. It knows nothing of what is in none of the token's Cases, of a name that the
// Manifest has not, and of what is gone: [Missing]. What is restricted is refused to a
// token without that scope. The reader ends with an error instead of io.EOF if the bytes
// are not the named ones; the caller closes it.
type Objects interface {
	Object(ctx context.Context, who Token, id holdfast.ID, name, why string) (holdfast.Object, io.ReadCloser, error)
}

// getObject streams one Object. It goes out as bytes that nothing shows or runs,
// whatever the captured site called it.
func (c *call) getObject() error {
	id, err := c.looksInto()
	if err != nil {
		return err
	}
	o, body, err := c.Objects.Object(c.r.Context(), c.who, id, c.r.PathValue("name"), c.q("why"))
	if err != nil {
		return err
	}
	defer body.Close()
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Length", strconv.FormatInt(o.Size, 10))
	h.Set("Cache-Control", "no-store")
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(o.Digest[:])+":")
	c.w.WriteHeader(http.StatusOK)
	ctl := http.NewResponseController(c.w)
	for err == nil { // who reads nothing for so long is gone
		_ = ctl.SetWriteDeadline(time.Now().Add(c.stall))
		_, err = io.CopyN(c.w, body, 256<<10)
	}
	if !errors.Is(err, io.EOF) {
		c.Log.WarnContext(c.r.Context(), "an object did not go out whole", "token", c.who.ID, "err", err)
		panic(http.ErrAbortHandler) // cut, so that nobody takes it for whole
	}
	return nil
}

// Object writes the bytes of one to w, at most size+1 of them: that they are those of
// the Manifest is for the caller to see.
func (c *Client) Object(ctx context.Context, id holdfast.ID, o holdfast.Object, why string, w io.Writer) error {
	path := "/v1/captures/" + string(id) + "/objects/" + url.PathEscape(o.Name)
	if why != "" {
		path += "?" + url.Values{"why": {why}}.Encode()
	}
	r, err := c.again(ctx, func() (*http.Response, error) { return c.send(ctx, http.MethodGet, path, nil, nil) })
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if err := c.problem(r); err != nil {
		return err
	}
	if _, err := io.Copy(w, io.LimitReader(r.Body, o.Size+1)); err != nil {
		return &LineError{c.base, errors.New("the line broke in the middle of " + o.Name)}
	}
	return nil
}

// NeedsRestricted refuses a restricted Object to a token without the scope for those.
func NeedsRestricted(who Token, name string) error {
	p := problem(http.StatusForbidden, codeScope, "%s is restricted, and the token %s has not the scope `%s`", name, who.Name, ScopeRestricted)
	p.scope = ScopeRestricted
	return p
}

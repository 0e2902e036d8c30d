package api

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"holdfast"
)

// exportTime is how long a Bundle may take to be written, before its first byte goes
// out.
const exportTime = time.Hour

func (c *call) getBundle() error {
	a, cases, err := c.bundleAsk()
	if err != nil {
		return err
	}
	select {
	case c.bundles <- struct{}{}:
	default:
		return Busy(10*time.Second, "the node writes %d bundles now, and no more at once: ask again in a moment", exports)
	}
	defer func() { <-c.bundles }()
	objects := make([]string, len(a.Captures))
	for i, id := range a.Captures {
		objects[i] = string(id)
	}
	if err := c.tell(cases, objects...); err != nil {
		return err
	}
	ctl := http.NewResponseController(c.w)
	_ = ctl.SetReadDeadline(time.Time{}) // it would end the connection while the Bundle is written
	_ = ctl.SetWriteDeadline(time.Now().Add(exportTime + stall))
	file, digest, sum, err := c.Bundles.Bundle(c.r.Context(), c.who, a)
	if err != nil {
		return err
	}
	defer file.Close()
	head, err := asciiJSON(sum)
	if err != nil {
		return err
	}
	raw, err := hex.DecodeString(digest.Hex())
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="bundle.zip"`)
	h.Set("Content-Length", strconv.FormatInt(sum.Bytes, 10))
	h.Set("Cache-Control", "no-store")
	h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(raw)+":")
	h.Set("Holdfast-Export", head)
	c.w.WriteHeader(http.StatusOK)
	for err == nil { // who reads nothing for so long is gone
		_ = ctl.SetWriteDeadline(time.Now().Add(c.stall))
		_, err = io.CopyN(c.w, file, 256<<10)
	}
	if !errors.Is(err, io.EOF) {
		c.Log.WarnContext(c.r.Context(), "a bundle did not go out whole", "token", c.who.ID, "err", err)
		panic(http.ErrAbortHandler) // cut, so that nobody takes it for whole
	}
	return nil
}

func (c *call) bundleAsk() (a BundleAsk, cases []holdfast.ID, err error) {
	if err := c.params("case", "capture", "restricted", "why", "lang"); err != nil {
		return a, nil, err
	}
	ids, name := c.r.URL.Query()["capture"], c.q("case")
	a.Why, a.Lang = c.q("why"), c.q("lang")
	switch r := c.q("restricted"); {
	case r != "" && r != "yes" && r != "no":
		return a, nil, problem(http.StatusBadRequest, codeBad, "restricted is yes or no")
	case r == "yes" && !c.who.May(ScopeRestricted):
		p := problem(http.StatusForbidden, codeScope, "the token %s has not the scope `%s`, which restricted objects ask for", c.who.Name, ScopeRestricted)
		p.scope = ScopeRestricted
		return a, nil, p
	case len(a.Why) > maxText || len(a.Lang) > 40:
		return a, nil, problem(http.StatusBadRequest, codeBad, "why has at most %d bytes, lang is a tag such as fr", maxText)
	case len(ids) > MaxExport:
		return a, nil, problem(http.StatusBadRequest, codeBad, "at most %d captures: export the case, or in parts", MaxExport)
	case (len(ids) > 0) == (name != ""):
		return a, nil, problem(http.StatusBadRequest, codeBad, "say case=NAME, or capture=ID once for each, one of the two")
	default:
		a.Restricted = r == "yes"
	}
	if name != "" {
		a.Case, err = c.home(name)
		return a, []holdfast.ID{a.Case}, err
	}
	seen := map[holdfast.ID]bool{}
	for _, s := range ids {
		id, err := holdfast.ParseID(s)
		if err != nil {
			return a, nil, problem(http.StatusBadRequest, codeBad, "capture=%.40s is no id", s)
		}
		k, err := c.Captures.Capture(c.r.Context(), c.who, id)
		if err != nil {
			return a, nil, err
		}
		if !c.who.For(k.CaseID) {
			return a, nil, Forbid("capture %s is at home in another case, whose custody would be in the bundle: export a case that it was added to", id)
		}
		a.Captures = append(a.Captures, id)
		if !seen[k.CaseID] {
			seen[k.CaseID], cases = true, append(cases, k.CaseID)
		}
	}
	return a, cases, nil
}

// asciiJSON is JSON that a header can hold.
func asciiJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, r := range string(b) {
		switch {
		case r < 0x80:
			out.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		}
	}
	return out.String(), nil
}

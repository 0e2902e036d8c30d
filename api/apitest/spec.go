// Package apitest holds answers of a node's door against its OpenAPI file: what is not
// described there fails the test, and what is described and was never seen is told.
package apitest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	verrors "github.com/pb33f/libopenapi-validator/errors"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Spec is an OpenAPI file and what was seen of it. It is safe for concurrent use.
type Spec struct {
	doc   *v3.Document
	valid validator.Validator

	mu   sync.Mutex
	seen map[string]bool // "METHOD path status"
}

// New reads the file; it must be a valid one of OpenAPI 3.1.
func New(t testing.TB, file []byte) *Spec {
	t.Helper()
	doc, err := libopenapi.NewDocument(file)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, bad := v.ValidateDocument(); !ok {
		t.Fatalf("the file is not OpenAPI 3.1:%s", told(bad))
	}
	m, errs := doc.BuildV3Model()
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return &Spec{doc: &m.Model, valid: v, seen: map[string]bool{}}
}

// Check holds an answer, and with good the question too, against the file. body is what
// was sent; the answer's body is read and put back.
func (s *Spec) Check(t testing.TB, good bool, sent *http.Request, body []byte, r *http.Response) {
	t.Helper()
	q := sent.Clone(sent.Context())
	q.Body = io.NopCloser(bytes.NewReader(body))
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	what := fmt.Sprintf("%s %s: %d", sent.Method, sent.URL.RequestURI(), r.StatusCode)
	op, pattern := s.operation(sent)
	if op == nil {
		t.Errorf("%s is not in the file", what)
		return
	}
	described := op.Responses.Codes.GetOrZero(fmt.Sprint(r.StatusCode))
	if described == nil {
		t.Errorf("%s is not described", what)
		return
	}
	for h, k := range described.Headers.FromOldest() {
		if k.Required && r.Header.Get(h) == "" {
			t.Errorf("%s has no header %s", what, h)
		}
	}
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if described.Content == nil && len(b) > 0 || described.Content != nil && described.Content.GetOrZero(kind) == nil {
		t.Errorf("%s has %d bytes of %q, which is not described", what, len(b), kind)
	}
	if strings.HasSuffix(kind, "json") {
		if ok, bad := s.valid.ValidateHttpResponse(q, r); !ok {
			t.Errorf("%s is not as described:%s\n%s", what, told(bad), b)
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
	if ok, bad := s.valid.ValidateHttpRequest(q); good && !ok {
		t.Errorf("%s: the question is not as described:%s\n%s", what, told(bad), body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[fmt.Sprintf("%s %s %d", sent.Method, pattern, r.StatusCode)] = true
}

// operation finds what a call is in the file.
func (s *Spec) operation(r *http.Request) (*v3.Operation, string) {
	for pattern, item := range s.doc.Paths.PathItems.FromOldest() {
		want, got := strings.Split(pattern, "/"), strings.Split(r.URL.Path, "/")
		if slices.EqualFunc(want, got, func(a, b string) bool { return a == b || strings.HasPrefix(a, "{") && b != "" }) {
			return item.GetOperations().GetOrZero(strings.ToLower(r.Method)), pattern
		}
	}
	return nil, ""
}

// Routes are the calls of the file, "GET /v1/x/{id}", sorted.
func (s *Spec) Routes() (all []string) {
	for pattern, item := range s.doc.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			all = append(all, strings.ToUpper(method)+" "+pattern)
		}
	}
	slices.Sort(all)
	return all
}

// Unseen are the answers that are described and did not come, but for some statuses.
func (s *Spec) Unseen(but ...string) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for pattern, item := range s.doc.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			for status := range op.Responses.Codes.FromOldest() {
				key := strings.ToUpper(method) + " " + pattern + " " + status
				if !s.seen[key] && !slices.Contains(but, status) {
					all = append(all, key)
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// Members are the names of the members of a schema of the file, sorted.
func (s *Spec) Members(t testing.TB, schema string) (all []string) {
	t.Helper()
	p := s.doc.Components.Schemas.GetOrZero(schema)
	if p == nil {
		t.Fatalf("no schema %s", schema)
	}
	for name := range p.Schema().Properties.FromOldest() {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func told(bad []*verrors.ValidationError) string {
	var out strings.Builder
	for _, e := range bad {
		fmt.Fprintf(&out, "\n  %s: %s", e.Message, e.Reason)
		for _, k := range e.SchemaValidationErrors {
			fmt.Fprintf(&out, "\n    %s at %s", k.Reason, k.Location)
		}
	}
	return out.String()
}

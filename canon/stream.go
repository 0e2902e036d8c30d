package canon

import (
	"encoding"
	"encoding/base64"
	"encoding/json"
	"io"
	"reflect"
	"strings"
)

// encodeTo gives w what json.Encoder gives for v, in pieces: a struct's lists
// member by member and its bytes in chunks, since encoding/json holds what it
// encodes in one buffer, and an export statement may have 256 MiB. Whatever is
// not as plain as that goes through encoding/json whole. Each Write ends where a
// JSON token does.
func encodeTo(w io.Writer, v any) error {
	leaf := json.NewEncoder(trimmed{w})
	leaf.SetEscapeHTML(false)
	s := reflect.Indirect(reflect.ValueOf(v))
	if !plainStruct(s) {
		return leaf.Encode(v)
	}
	for i := range s.NumField() {
		name, _ := json.Marshal(s.Type().Field(i).Tag.Get("json"))
		if _, err := io.WriteString(w, string("{,"[min(i, 1)])+string(name)+":"); err != nil {
			return err
		}
		if err := encodeField(w, leaf, s.Field(i)); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "}")
	return err
}

func encodeField(w io.Writer, leaf *json.Encoder, f reflect.Value) error {
	if f.Kind() != reflect.Slice || f.Len() == 0 || ownForm(f.Type()) {
		return leaf.Encode(f.Addr().Interface())
	}
	if e := f.Type().Elem(); e.Kind() == reflect.Uint8 && !ownForm(e) {
		return encodeBytes(w, f.Bytes())
	}
	for i := range f.Len() {
		if _, err := io.WriteString(w, string("[,"[min(i, 1)])); err != nil {
			return err
		}
		if err := leaf.Encode(f.Index(i).Addr().Interface()); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "]")
	return err
}

func encodeBytes(w io.Writer, b []byte) error {
	if _, err := io.WriteString(w, `"`); err != nil {
		return err
	}
	b64 := base64.NewEncoder(base64.StdEncoding, w)
	if _, err := b64.Write(b); err != nil {
		return err
	}
	if err := b64.Close(); err != nil {
		return err
	}
	_, err := io.WriteString(w, `"`)
	return err
}

// plainStruct accepts a struct, behind a pointer, whose members are all exported,
// named by a tag without options, and neither embedded nor left out.
func plainStruct(s reflect.Value) bool {
	if s.Kind() != reflect.Struct || !s.CanAddr() || s.NumField() == 0 || ownForm(s.Type()) {
		return false
	}
	for i := range s.NumField() {
		f := s.Type().Field(i)
		tag := f.Tag.Get("json")
		if !f.IsExported() || f.Anonymous || tag == "" || strings.ContainsAny(tag, "-,") {
			return false
		}
	}
	return true
}

// ownForm reports whether a type, or what it points at, encodes itself.
func ownForm(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Marshaler]()) || p.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// trimmed takes away the line feed with which Encode ends its one Write.
type trimmed struct{ io.Writer }

func (t trimmed) Write(p []byte) (int, error) {
	_, err := t.Writer.Write(p[:max(len(p)-1, 0)])
	return len(p), err
}

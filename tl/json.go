package tl

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"

	"github.com/gotd/td/tdp"
)

// maxDepth bounds the nesting of what is written as JSON. A message as the
// service makes them has less than 20.
const maxDepth = 256

// ErrDepth is wrapped by the error for what is nested deeper than 256 objects.
var ErrDepth = errors.New("nested too deeply")

// AppendJSON writes a TL object in the words of Telegram's schema:
//
//	{"_":"message","post":true,"id":17,"peer_id":{"_":"peerChannel","channel_id":"1234"},…}
//
// Members stand in the order of the schema; one that is not set is left out, and
// a member of type `true` that is set is true. An int and a double are numbers; a
// long, int128 or int256 is a string, since JSON's readers round what has more
// than 53 bits; bytes are base64. A string that is not UTF-8, which the schema
// forbids and a server can send, becomes {"_":"bytes","base64":"…"}. Errors:
// [ErrDepth]; one that names a type that has no such form. The object must have
// been decoded: what is set is taken from its flags.
func AppendJSON(dst []byte, o tdp.Object) ([]byte, error) { return new(Writer).AppendJSON(dst, o) }

// Writer is AppendJSON and Content for many objects: it remembers where the members of
// each type lie, of which there are some hundreds. The zero value is good. It is for one
// goroutine at a time.
type Writer struct {
	whole, content map[reflect.Type][]member // all members, and those that are content
	scratch        []byte
}

// AppendJSON is the function of this name.
func (w *Writer) AppendJSON(dst []byte, o tdp.Object) ([]byte, error) {
	if w.whole == nil {
		w.whole = map[reflect.Type][]member{}
	}
	k := writer{b: dst, known: w.whole}
	err := guard(func() error { return k.object(o, 0) })
	return k.b, err
}

// writer writes JSON. leave says which members are passed over.
type writer struct {
	b     []byte
	leave func(typ, member string) bool
	known map[reflect.Type][]member
}

// member is where a member of a type lies; below 0: it is not written.
type member int

// members finds those of a type, in the order of info: that is of the schema, and the
// same for each object of the type.
func (w *writer) members(t reflect.Type, info *tdp.Type) ([]member, error) {
	if all, ok := w.known[t]; ok {
		return all, nil
	}
	all := make([]member, len(info.Fields))
	for i, f := range info.Fields {
		all[i] = -1
		if w.leave != nil && w.leave(info.Name, f.SchemaName) {
			continue
		}
		at, ok := t.FieldByName(f.Name)
		if !ok || len(at.Index) != 1 {
			return nil, fmt.Errorf("%s.%s: %s has no such member", info.Name, f.SchemaName, t)
		}
		if at.Type.Kind() != reflect.Uint32 { // flags: what they say is said by the members
			all[i] = member(at.Index[0])
		}
	}
	w.known[t] = all
	return all, nil
}

func (w *writer) object(o tdp.Object, depth int) error {
	if depth > maxDepth {
		return ErrDepth
	}
	info, v := o.TypeInfo(), reflect.ValueOf(o)
	if info.Null || v.Kind() != reflect.Pointer {
		w.b = append(w.b, "null"...)
		return nil
	}
	v = v.Elem()
	all, err := w.members(v.Type(), &info)
	if err != nil {
		return err
	}
	w.b = append(append(append(w.b, `{"_":"`...), info.Name...), '"')
	for i, f := range info.Fields {
		if f.Null || all[i] < 0 {
			continue
		}
		w.b = append(append(append(w.b, ',', '"'), f.SchemaName...), '"', ':')
		if err := w.value(v.Field(int(all[i])), depth+1); err != nil {
			return fmt.Errorf("%s.%s: %w", info.Name, f.SchemaName, err)
		}
	}
	w.b = append(w.b, '}')
	return nil
}

func (w *writer) value(v reflect.Value, depth int) error {
	if o, ok := asObject(v); ok {
		return w.object(o, depth)
	}
	switch v.Kind() {
	case reflect.Bool:
		w.b = strconv.AppendBool(w.b, v.Bool())
	case reflect.Int, reflect.Int32:
		w.b = strconv.AppendInt(w.b, v.Int(), 10)
	case reflect.Int64:
		w.b = append(strconv.AppendInt(append(w.b, '"'), v.Int(), 10), '"')
	case reflect.Float64:
		return w.float(v.Float())
	case reflect.String:
		return w.text(v.String())
	case reflect.Array: // int128, int256
		b := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(b), v)
		w.base64(b)
	case reflect.Slice:
		return w.list(v, depth)
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			w.b = append(w.b, "null"...)
			return nil
		}
		return w.value(v.Elem(), depth)
	default:
		return fmt.Errorf("a %s has no form in JSON", v.Type())
	}
	return nil
}

// asObject finds the TL object in v, whose methods are the pointer's.
func asObject(v reflect.Value) (tdp.Object, bool) {
	switch v.Kind() {
	case reflect.Struct:
		if v.CanAddr() {
			v = v.Addr()
		}
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return nil, false
		}
	default:
		return nil, false
	}
	o, ok := v.Interface().(tdp.Object)
	return o, ok
}

func (w *writer) list(v reflect.Value, depth int) error {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		w.base64(v.Bytes())
		return nil
	}
	if depth > maxDepth {
		return ErrDepth
	}
	w.b = append(w.b, '[')
	for i := range v.Len() {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		if err := w.value(v.Index(i), depth+1); err != nil {
			return err
		}
	}
	w.b = append(w.b, ']')
	return nil
}

func (w *writer) base64(b []byte) {
	w.b = append(base64.StdEncoding.AppendEncode(append(w.b, '"'), b), '"')
}

// float writes what JSON has no number for as its name.
func (w *writer) float(f float64) error {
	b, err := json.Marshal(f)
	if err != nil {
		b = strconv.AppendQuote(nil, strconv.FormatFloat(f, 'g', -1, 64))
	}
	w.b = append(w.b, b...)
	return nil
}

func (w *writer) text(s string) error {
	if !utf8.ValidString(s) {
		w.b = append(w.b, `{"_":"bytes","base64":`...)
		w.base64([]byte(s))
		w.b = append(w.b, '}')
		return nil
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			return w.escaped(s)
		}
	}
	w.b = append(append(append(w.b, '"'), s...), '"')
	return nil
}

const hexDigits = "0123456789abcdef"

func (w *writer) escaped(s string) error {
	w.b = append(w.b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			w.b = append(w.b, '\\', c)
		case c == '\n':
			w.b = append(w.b, '\\', 'n')
		case c < 0x20:
			w.b = append(w.b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			w.b = append(w.b, c)
		}
	}
	w.b = append(w.b, '"')
	return nil
}

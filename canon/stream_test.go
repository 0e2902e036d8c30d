package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

type row struct {
	A Text   `json:"a"`
	B string `json:"b,omitempty"`
}

type plain struct {
	Bytes []byte            `json:"bytes"`
	Inner row               `json:"inner"`
	List  []row             `json:"list"`
	Map   map[string]int    `json:"map"`
	None  *row              `json:"none"`
	Raw   json.RawMessage   `json:"raw"`
	Raws  []json.RawMessage `json:"raws"`
	Texts []Text            `json:"texts"`
}

// Types that encode themselves, behind a pointer.
type (
	ownStruct struct {
		A int `json:"a"`
	}
	ownList []int
	ownByte uint8
)

func (o *ownStruct) MarshalJSON() ([]byte, error) { return []byte(`"own"`), nil }
func (o *ownList) MarshalText() ([]byte, error)   { return []byte("<own>"), nil }
func (o *ownByte) MarshalText() ([]byte, error)   { return []byte("own"), nil }

type owns struct {
	Byte   ownByte   `json:"byte"`
	Bytes  []ownByte `json:"bytes"`
	List   ownList   `json:"list"`
	Struct ownStruct `json:"struct"`
}

// TestStreamIsJSON: in pieces or at once, the same bytes.
func TestStreamIsJSON(t *testing.T) {
	long := bytes.Repeat([]byte("\x00\xff\u2028\\"), 70_000)
	hidden := reflect.StructOf([]reflect.StructField{ // go vet does not let us write it
		{Name: "N", Type: reflect.TypeFor[int](), Tag: `json:"n"`},
		{Name: "s", Type: reflect.TypeFor[int](), Tag: `json:"s"`, PkgPath: "holdfast/canon"},
	})
	for i, v := range []any{
		&plain{},
		&plain{Bytes: []byte{}, List: []row{}, Raw: json.RawMessage(`{}`), Raws: []json.RawMessage{}, Texts: []Text{}},
		&plain{Bytes: long, Inner: row{A: "\u2028"}, List: make([]row, 9000), Map: map[string]int{"b": 1, "a": 2}, None: &row{B: "<&>"},
			Raw: json.RawMessage(`[1,{"a":2}]`), Raws: []json.RawMessage{json.RawMessage(`1`), json.RawMessage(`"\u2029"`)}, Texts: []Text{"\xff", "a\\u2028\u2028\"", ""}},
		&plain{Bytes: []byte{1}, Inner: row{B: "\u2028<&>"}, List: []row{{B: "\u2028"}}}, &plain{Bytes: []byte{1, 2}},
		&row{A: "x"}, plain{}, &[]row{{A: "y"}}, &struct{}{}, new(Text), (*plain)(nil), new(*plain),
		&ownStruct{1}, &owns{Bytes: []ownByte{1, 2}, List: ownList{3}}, &[]owns{{Bytes: []ownByte{}, List: ownList{}}},
		&struct{ N int }{1},
		reflect.New(hidden).Interface(),
		&struct {
			row `json:"row"`
		}{row{A: "embedded, with a name"}},
		&struct {
			row
			Z int `json:"z"`
		}{row{A: "embedded"}, 1},
		&struct {
			N int `json:",string"`
			s int
		}{1, 2},
		&struct {
			N int `json:"-"`
		}{1},
	} {
		var whole, pieces bytes.Buffer
		enc := json.NewEncoder(&whole)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		if err := encodeTo(&pieces, v); err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSuffix(whole.String(), "\n"); pieces.String() != want {
			t.Errorf("%d: %.200q, want %.200q", i, pieces.String(), want)
		}
	}
}

// TestUnmarshalComparesEachPiece: what the encoding would not give back is
// refused wherever it stands in a document that is encoded in pieces.
func TestUnmarshalComparesEachPiece(t *testing.T) {
	type doc struct {
		Bytes []byte `json:"bytes"`
		List  []row  `json:"list"`
	}
	for text, ok := range map[string]bool{
		`{"bytes":"AAEC","list":[{"a":"x"},{"a":"y","b":"z"}]}`:         true,
		`{"bytes":"","list":[]}`:                                        true,
		`{"bytes":"AA==","list":[{"a":"<","b":"&"}]}`:                   true,
		"{\"bytes\":\"\",\"list\":[{\"a\":\"\",\"b\":\" \\\\u2028\"}]}": true,
		"{\"bytes\":\"\",\"list\":[{\"a\":\"\u2028\\\\u2028\"}]}":       true,
		`{"bytes":"AAEC","list":[{"a":"x"},{"a":"y","b":""}]}`:          false,
		`{"bytes":"AAEC","list":[{"a":"x"},{"a":"y","c":"z"}]}`:         false,
		`{"bytes":"AAEC","list":[{"A":"x"},{"a":"y"}]}`:                 false,
		`{"bytes":"AAED\n","list":[]}`:                                  false,
		`{"bytes":"AAEC","list":[],"more":1}`:                           false,
		`{"Bytes":"AAEC","list":[]}`:                                    false,
		`{"list":[]}`:                                                   false,
		`{"bytes":"AAEC"}`:                                              false,
		`{}`:                                                            false,
		`{"bytes":"AAF=","list":[]}`:                                    false, // not the one spelling of base64
	} {
		var d doc
		if err := Unmarshal([]byte(text), &d); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestComparer: whichever piece differs, is missing or too many, each of the two
// signs tells it for itself.
func TestComparer(t *testing.T) {
	for pieces, want := range map[string]struct {
		differs bool
		rest    string
	}{
		"ab|c": {false, ""}, "abc": {false, ""}, "|abc|": {false, ""}, "ab": {false, "c"}, "a|x|c": {true, "bc"}, "a|x|bc": {true, "bc"},
		"axc": {true, "bc"}, "x|abc": {true, "abc"}, "abc|d": {true, ""}, "abcd": {true, ""}, `a|\u2028`: {true, "bc"},
	} {
		c := &comparer{rest: []byte("abc")}
		for p := range strings.SplitSeq(pieces, "|") {
			if n, err := c.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if c.differs != want.differs || string(c.rest) != want.rest {
			t.Errorf("%q: differs %v, rest %q", pieces, c.differs, c.rest)
		}
	}
}

// FuzzUnmarshal: what is taken is exactly what encoding/json, which has the whole
// in one buffer, gives back.
func FuzzUnmarshal(f *testing.F) {
	type doc struct {
		Bytes []byte          `json:"bytes"`
		Inner row             `json:"inner"`
		List  []row           `json:"list"`
		Map   map[string]int  `json:"map"`
		Raw   json.RawMessage `json:"raw"`
		Texts []Text          `json:"texts"`
	}
	for _, s := range []string{
		`{"bytes":"AAEC","inner":{"a":"x"},"list":[{"a":"x"},{"a":"y","b":"z"}],"map":{"a":1},"raw":[{}],"texts":["",{"base64":"/w=="}]}`,
		"{\"bytes\":\"\",\"inner\":{\"a\":\"\",\"b\":\"\u2028\"},\"list\":[],\"map\":{},\"raw\":1,\"texts\":[\"\\\\u2028<\"]}",
		`{"bytes":null,"inner":{"a":""},"list":null,"map":null,"raw":null,"texts":null}`,
		`{"bytes":"AA==","inner":{"a":"x","c":1},"list":[],"map":{},"raw":"","texts":[]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var v, w doc
		err := UnmarshalNullable(b, &v)
		whole := Check(b)
		if whole == nil {
			whole = json.Unmarshal(b, &w)
		}
		if again, e := Append(nil, &w); whole == nil && (e != nil || !bytes.Equal(again, b)) {
			whole = errors.New("another spelling")
		}
		if (err == nil) != (whole == nil) {
			t.Fatalf("%q: in pieces %v, at once %v", b, err, whole)
		}
		if err := Unmarshal(b, &v); err == nil && (whole != nil || slices.Contains(strings.FieldsFunc(string(b), func(r rune) bool { return strings.ContainsRune("[]{}:,", r) }), "null")) {
			t.Fatalf("%q: %v", b, err)
		}
	})
}

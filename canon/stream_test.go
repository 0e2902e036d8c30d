package canon

import (
	"bytes"
	"encoding/json"
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

// TestStreamIsJSON: in pieces or at once, the same bytes.
func TestStreamIsJSON(t *testing.T) {
	long := bytes.Repeat([]byte("\x00\xff\u2028\\"), 70_000)
	for i, v := range []any{
		&plain{},
		&plain{Bytes: []byte{}, List: []row{}, Raw: json.RawMessage(`{}`), Raws: []json.RawMessage{}, Texts: []Text{}},
		&plain{Bytes: long, Inner: row{A: "\u2028"}, List: make([]row, 9000), Map: map[string]int{"b": 1, "a": 2}, None: &row{B: "<&>"},
			Raw: json.RawMessage(`[1,{"a":2}]`), Raws: []json.RawMessage{json.RawMessage(`1`), json.RawMessage(`"\u2029"`)}, Texts: []Text{"\xff", "a\\u2028\u2028\"", ""}},
		&row{A: "x"}, plain{}, &[]row{{A: "y"}}, &struct{}{}, new(Text),
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
		`{"bytes":"AAEC","list":[{"a":"x"},{"a":"y","b":"z"}]}`:   true,
		`{"bytes":"","list":[]}`:                                  true,
		"{\"bytes\":\"\",\"list\":[{\"a\":\"\u2028\\\\u2028\"}]}": true,
		`{"bytes":"AAEC","list":[{"a":"x"},{"a":"y","b":""}]}`:    false,
		`{"bytes":"AAEC","list":[{"a":"x"},{"a":"y","c":"z"}]}`:   false,
		`{"bytes":"AAEC","list":[{"A":"x"},{"a":"y"}]}`:           false,
		`{"bytes":"AAED\n","list":[]}`:                            false,
		`{"bytes":"AAEC","list":[],"more":1}`:                     false,
		`{"Bytes":"AAEC","list":[]}`:                              false,
		`{"list":[]}`:                                             false,
		`{"bytes":"AAEC"}`:                                        false,
		`{}`:                                                      false,
		`{"bytes":"AAF=","list":[]}`:                              false, // not the one spelling of base64
	} {
		var d doc
		if err := Unmarshal([]byte(text), &d); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

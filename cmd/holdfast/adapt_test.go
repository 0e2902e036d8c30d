package main

import (
	"testing"

	"holdfast"
	"holdfast/pipeline"
)

// TestHide: what is made of something restricted is restricted too.
func TestHide(t *testing.T) {
	m := &holdfast.Manifest{Objects: []holdfast.Object{{Name: "dom.html"}, {Name: "text.txt", Restricted: true}}}
	d := &pipeline.Derived{Objects: []pipeline.DerivedObject{{Name: "page.json"}, {Name: "post.json"}},
		Transformations: []holdfast.Transformation{{Output: "page.json", Inputs: []string{"dom.html", "text.txt"}}, {Output: "post.json", Inputs: []string{"dom.html", "gone"}}}}
	hide(m, d)
	if !d.Objects[0].Restricted || d.Objects[1].Restricted {
		t.Errorf("%+v", d.Objects)
	}
}

package catalog

import (
	"slices"

	"holdfast"
)

// Roles of Objects that say of a channel what no post says (bundle.md, section 3).
const (
	RoleChannel = "channel" // what it is called and says of itself
	RoleTopics  = "topics"  // of a forum
	RoleStories = "stories"
)

// DocumentRoles are the roles by which documents are found.
func DocumentRoles() []string { return []string{RoleChannel, RoleTopics, RoleStories} }

// maxDocuments bounds those of one Manifest.
const maxDocuments = 64

// Document is one Object of such a role. A catalog does not read it.
type Document struct {
	Sight // At is when its Capture began; How is ""
	Role  string
	Part  int // which of its Manifest's Objects of that role, from 0, by name
	Small
}

// stateDocuments notes which Objects are documents.
func (a *Accepted) stateDocuments(m *holdfast.Manifest) {
	if m.Kind != holdfast.KindCapture {
		return
	}
	parts := map[string]int{}
	for _, o := range m.Objects {
		if slices.Contains(DocumentRoles(), o.Role) && len(a.Documents) < maxDocuments {
			a.Documents = append(a.Documents, Document{Role: o.Role, Part: parts[o.Role], Small: Small{o.Digest, o.Size}})
			parts[o.Role]++
		}
	}
}

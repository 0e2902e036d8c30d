package preserve_test

import (
	"net/http"

	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

func httpClient() *http.Client { return &http.Client{} }

func authoritiesOf(n *sealtest.Node) (as []preserve.Authority) {
	for _, a := range n.Authorities {
		as = append(as, a.Config())
	}
	return as
}

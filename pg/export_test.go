package pg

import "testing"

// Verified reports whether a connection by this URL would hold the server to a
// certificate for its name.
func Verified(t *testing.T, url string) bool {
	t.Helper()
	c, err := config(Options{URL: url, Schema: "s"})
	if err != nil {
		t.Fatal(err)
	}
	tls := c.ConnConfig.TLSConfig
	return tls != nil && !tls.InsecureSkipVerify && len(c.ConnConfig.Fallbacks) < 2
}

// Package catalogtest says what every catalog must hold to ([Test]), and makes
// facts to try one with ([World]): real Manifests, plans and packs, the same for
// the same seed.
package catalogtest

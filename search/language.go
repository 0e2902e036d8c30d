package search

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a guess.
const (
	langSample = 600 // bytes of the text that are looked at
	langLeast  = 10  // letters of a text of which anything is said
)

// Languages guesses the language of a text: by its script, by letters that only some
// languages have, and of those in Latin letters by their commonest short words. It is
// a guess, right for most sentences and silent on many short ones: a filter, never a
// statement. It is safe for concurrent use.
type Languages struct {
	latin map[string][]int // a word: places of its languages in tags
	tags  []string
}

// NewLanguages makes one. Words stand as they are folded.
func NewLanguages() *Languages {
	l := &Languages{latin: map[string][]int{}}
	for _, line := range []string{
		"en the of and to in is for on that with was are this by from has have it at be as will not they he she says said after who",
		"fr le la les des et est un une dans du que qui pour en au aux sur avec pas ce il elle par plus ont sont de a ete selon apres dit ces cette",
		"es el la los las de del y en que un una por con para es se no su al lo mas como fue este esta segun tras",
		"de der die das und ist nicht ein eine zu den von mit im auf fur des dem sich auch es an als wird wurde nach",
		"pt o os as do da dos das de e em que um uma nao para com por se no na ao mais foi segundo apos",
		"it il lo la gli le di che e un una in per non con del della dei delle si da sono al alla ha dopo",
		"nl de het een van en in is dat op te zijn met voor niet aan er om ook bij naar door",
		"pl w na nie sie z jest i do to ze o po jak za od przez dla oraz ma byl",
		"ro si in la de este un o cu pe nu sa care din au mai fost pentru ce dupa",
		"tr ve bir bu da de icin ile cok olarak daha olan gibi ne var sonra",
		"sv och att det som en pa ar av for med den till ett inte om har i fran efter",
		"cs a je se na v ze to s z do byl po jsou pro za ktery nebo",
		"hu a az es hogy nem van egy is volt meg ez ki el utan",
		"id yang dan di ini itu dengan untuk dari dalam tidak pada akan ke oleh",
		"vi va cua la co khong cho mot cac duoc trong voi nguoi den nay",
	} {
		f := strings.Fields(line)
		l.tags = append(l.tags, f[0])
		for _, w := range f[1:] {
			l.latin[w] = append(l.latin[w], len(l.tags)-1)
		}
	}
	return l
}

// Tags are the languages that are guessed.
func Tags() []string {
	return strings.Fields("ar be bg cs de el en es fa fr he hi hu id it ja ko nl pl pt ro ru sr sv th tr uk ur vi zh")
}

// Of returns one of Tags, or "" where too little speaks for one.
func (l *Languages) Of(text string) string {
	if len(text) > langSample {
		end := langSample
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	counts, most, best := map[string]int{}, 0, ""
	for _, r := range text {
		if s := script(r); s != "" {
			if counts[s]++; counts[s] > most {
				most, best = counts[s], s
			}
		}
	}
	if counts["ja"] > 0 && 3*counts["ja"] > counts["zh"] {
		return "ja" // a sentence of Japanese is not without kana, and may have more Han
	}
	if most < langLeast && (best != "zh" || most < langLeast/3) {
		return ""
	}
	switch best {
	case "Cyrl":
		return cyrillic(strings.ToLower(text))
	case "Arab":
		return arabic(text)
	case "Latn":
		return l.ofLatin(text)
	}
	return best
}

// ofLatin is the language of which most words are there: two at least, and a fifth more
// than of any other.
func (l *Languages) ofLatin(text string) string {
	votes := make([]int, len(l.tags))
	Words(text, func(w []byte, _, _ int) bool {
		for _, i := range l.latin[string(w)] {
			votes[i]++
		}
		return true
	})
	first, second := 0, -1
	for i := 1; i < len(votes); i++ {
		if votes[i] > votes[first] {
			first, second = i, first
		} else if second < 0 || votes[i] > votes[second] {
			second = i
		}
	}
	if votes[first] < 2 || 5*votes[first] < 6*votes[second] {
		return ""
	}
	return l.tags[first]
}

// script is a script, or the one language that is written in it.
func script(r rune) string {
	switch {
	case r < utf8.RuneSelf:
		if 'a' <= r|0x20 && r|0x20 <= 'z' {
			return "Latn"
		}
		return ""
	case 0x400 <= r && r < 0x530:
		return "Cyrl"
	case unicode.In(r, unicode.Arabic) && unicode.IsLetter(r):
		return "Arab"
	case unicode.Is(unicode.Han, r):
		return "zh"
	case unicode.In(r, unicode.Hiragana, unicode.Katakana):
		return "ja"
	}
	for _, s := range []struct {
		tag   string
		table *unicode.RangeTable
	}{{"Latn", unicode.Latin}, {"ko", unicode.Hangul}, {"he", unicode.Hebrew}, {"el", unicode.Greek}, {"hi", unicode.Devanagari}, {"th", unicode.Thai}} {
		if unicode.Is(s.table, r) {
			return s.tag
		}
	}
	return ""
}

func cyrillic(s string) string {
	switch {
	case strings.ContainsAny(s, "ђјљњћџѓќѕ"):
		return "sr"
	case strings.Contains(s, "ў"):
		return "be"
	case strings.ContainsAny(s, "іїєґ"):
		return "uk"
	case strings.ContainsAny(s, "ыэё"):
		return "ru"
	case strings.Count(s, "ъ") > 1:
		return "bg"
	}
	return "" // Russian and Ukrainian share the rest
}

func arabic(s string) string {
	switch {
	case strings.ContainsAny(s, "ٹڈڑےں"):
		return "ur"
	case strings.ContainsAny(s, "پچژگیک"):
		return "fa"
	}
	return "ar"
}

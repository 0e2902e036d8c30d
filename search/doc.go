// Package search says how texts are looked for, without any database: which
// words a text has, whatever its script ([Words]), which parts of handles
// ([Handles]) and of addresses ([Address]); what a question asks ([Parse]); whether
// a text answers it ([Query.Match]); and where in it ([Snippet]).
//
// # Words
//
// A text and a question are folded by the same rules, so what a person types finds
// what another person wrote:
//   - characters are taken apart by compatibility (NFKD): ligatures, full width and
//     presentation forms become letters;
//   - case goes, and so do marks on letters of Latin, Greek, Cyrillic, Arabic and
//     Hebrew (é, ё, harakat, niqqud), but й, ў and ї stay letters of their own;
//   - in Arabic hamza and madda on a letter and the tatweel go, ى and ی are ي, ک is ك,
//     ة is ه; ß is ss, ł is l, ø is o, and so on;
//   - in Persian the zero-width non-joiner stands between words (کتاب‌ها has کتاب);
//   - in Devanagari the nukta goes, ँ is ं, and so is a nasal without a vowel;
//   - apostrophes that Unicode calls letters (мʼята) stand between words as ' does;
//   - digits of every script are 0 to 9;
//   - in scripts that are written without spaces (Han, kana, Thai, Khmer …) each
//     character is a word, and so is each symbol (emoji): what is written together
//     is looked for together, as a phrase;
//   - what is not seen (zero width, soft hyphen, direction) is not there;
//   - all else, punctuation and `_` too, stands between words. A word has at most 48
//     bytes; a longer one is cut into several, side by side.
//
// Both sides are text from outside: any bytes are taken, time and memory are linear
// in them, and nothing here fails but [Parse], which says what it does not take.
package search

// Version is raised by every change of the words that a text, a handle or an address
// folds to, and of what is searched of a page (2: the text of frames too): what a catalog
// keeps of older ones no longer answers the questions of now.
const Version = 2

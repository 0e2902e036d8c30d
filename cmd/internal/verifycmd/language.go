package verifycmd

import "holdfast/messages"

// open returns the sentences in the language that was asked for by hand, else in
// that of LC_ALL, LC_MESSAGES or LANG, else in that of the system's settings. It
// reads no file.
func (o *Options) open() (*messages.Catalogue, error) {
	if o.Lang == "" && o.Env("LC_ALL") == "" && o.Env("LC_MESSAGES") == "" && o.Env("LANG") == "" {
		return messages.Open(systemLanguages()...)
	}
	return messages.Choose(o.Lang, o.Env)
}

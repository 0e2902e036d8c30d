package verifycmd

import "golang.org/x/sys/windows"

// systemLanguages are those in which this user wants to see Windows.
func systemLanguages() []string {
	tags, err := windows.GetUserPreferredUILanguages(windows.MUI_LANGUAGE_NAME)
	if err != nil {
		return nil
	}
	return tags
}

package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/messages"
)

// langFlag adds --lang, the language of a Bundle's page.
func langFlag(cmd *cobra.Command, lang *string) {
	about := "language of the page inside; else that of LC_ALL, LC_MESSAGES or LANG"
	if names, err := messages.Languages(); err == nil {
		about = "language of the page inside: " + strings.Join(names, ", ") + "; else that of LC_ALL, LC_MESSAGES or LANG"
	}
	cmd.Flags().StringVar(lang, "lang", "", about)
}

// checkLanguage refuses a --lang that there are no sentences in.
func checkLanguage(asked string) error {
	_, err := pageLanguage(asked)
	return err
}

// pageLanguage is the tag for [export.Options], chosen before anything is
// captured or written. It reads the environment and no file.
func pageLanguage(asked string) ([]string, error) {
	texts, err := messages.Choose(asked, os.Getenv)
	if err != nil {
		return nil, usageError("--lang: %w", err)
	}
	return []string{texts.Tag()}, nil
}

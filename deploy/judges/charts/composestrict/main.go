// Command composestrict reads a compose file and a file of settings with the loader of
// `docker compose` itself, as `docker compose --env-file ENV -f FILE config` does, and
// prints each service and its image. The settings of this process count for nothing.
//
//	composestrict FILE ENV
//
// Exit 0: all well; 1: refused, with the reason; 2: wrong arguments. Beyond the loader, a
// Dockerfile and a bound file that are named have to be there.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: composestrict FILE ENV")
		os.Exit(2)
	}
	if err := read(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "composestrict:", err)
		os.Exit(1)
	}
}

func read(file, env string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithEnvFiles(env), cli.WithDotEnv, cli.WithProfiles([]string{"*"}))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	if err := project.CheckContainerNameUnicity(); err != nil {
		return err
	}
	var bad []error
	for _, name := range project.ServiceNames() {
		s := project.Services[name]
		fmt.Println(name, s.Image)
		bad = append(bad, files(s))
	}
	return errors.Join(bad...)
}

func files(s types.ServiceConfig) error {
	var bad []error
	if s.Build == nil && s.Image == "" {
		bad = append(bad, fmt.Errorf("%s has no image", s.Name))
	}
	if s.Build != nil {
		if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
			bad = append(bad, err)
		}
	}
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			bad = append(bad, err)
		}
	}
	return errors.Join(bad...)
}

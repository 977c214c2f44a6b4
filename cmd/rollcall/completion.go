package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollcall-sd/rollcall/registry"
)

// completionTimeout is how long the shell may wait for names from the backend.
const completionTimeout = time.Second

// bashWithoutPackage replaces what the script for bash takes from the package
// bash-completion, where that is not loaded.
const bashWithoutPackage = `
if ! declare -F _get_comp_words_by_ref >/dev/null; then
    __rollcall_init_completion()
    {
        COMPREPLY=()
        cur=${COMP_WORDS[COMP_CWORD]}
        prev=${COMP_WORDS[COMP_CWORD-1]}
        words=("${COMP_WORDS[@]}")
        cword=$COMP_CWORD
    }
    if ! declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions() { :; }
    fi
fi
`

const completionHelp = `Print the completion script of a shell. Beyond commands and flags it completes names
of services and IDs of instances from $` + backendVariable + `.

  bash   source <(rollcall completion bash)     # in ~/.bashrc
  zsh    rollcall completion zsh > "${fpath[1]}/_rollcall"
  fish   rollcall completion fish > ~/.config/fish/completions/rollcall.fish`

// completionCommand prints completion scripts.
func completionCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use:                   "completion bash|zsh|fish",
		Short:                 "Print the completion script of a shell",
		Long:                  completionHelp,
		Args:                  arguments("bash|zsh|fish"),
		DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			switch root := c.Root(); args[0] {
			case "bash":
				if err := root.GenBashCompletionV2(std.out, true); err != nil {
					return err
				}
				_, err := fmt.Fprint(std.out, bashWithoutPackage)
				return err
			case "zsh":
				return root.GenZshCompletion(std.out)
			case "fish":
				return root.GenFishCompletion(std.out, true)
			default:
				return usageError{fmt.Errorf("unknown shell %q; it must be bash, zsh or fish", args[0])}
			}
		},
		ValidArgs: []cobra.Completion{"bash", "zsh", "fish"},
	}
}

// completeServices completes the first argument from the names of the services.
func completeServices(from *connectFlags) cobra.CompletionFunc {
	return completeFrom(from, func(ctx context.Context, backend registry.Backend) ([]cobra.Completion, error) {
		return backend.Services(ctx)
	})
}

// completeIDs completes the first argument from the IDs of all instances.
func completeIDs(from *connectFlags) cobra.CompletionFunc {
	return completeFrom(from, func(ctx context.Context, backend registry.Backend) ([]cobra.Completion, error) {
		all, err := readAll(ctx, backend)
		var ids []cobra.Completion
		for _, service := range all {
			for _, i := range service.instances {
				ids = append(ids, cobra.CompletionWithDesc(i.ID, service.name+" at "+i.HostPort()))
			}
		}
		return ids, err
	})
}

// completeFrom completes the first argument from the backend, or not at all if that
// fails: the command will say why.
func completeFrom(from *connectFlags, list func(context.Context, registry.Backend) ([]cobra.Completion, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), completionTimeout)
		defer cancel()
		_ = withBackend(ctx, *from, func(ctx context.Context, backend registry.Backend) (err error) {
			found, err = list(ctx, backend)
			return err
		})
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

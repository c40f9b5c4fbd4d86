package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// The scripts ask the command itself what comes next (--generate-bash-completion of urfave/cli), so they never get old.
const (
	bashCompletion = `# cluster completion for bash: source <(cluster completion bash)
_cluster() {
  local cur words
  cur="${COMP_WORDS[COMP_CWORD]}"
  words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  if [[ "$cur" == -* ]]; then words+=("$cur"); fi
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _cluster cluster
`
	zshCompletion = `#compdef cluster
# cluster completion for zsh: source <(cluster completion zsh)
_cluster() {
  local -a opts
  local cur="${words[CURRENT]}"
  if [[ "$cur" == -* ]]; then
    opts=("${(@f)$("${words[@]:0:$((CURRENT-1))}" "$cur" --generate-bash-completion 2>/dev/null)}")
  else
    opts=("${(@f)$("${words[@]:0:$((CURRENT-1))}" --generate-bash-completion 2>/dev/null)}")
  fi
  compadd -a opts
}
compdef _cluster cluster
`
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a completion script for bash or zsh", ArgsUsage: "bash|zsh",
		Description: "Load it with: source <(cluster completion bash)",
		Action: func(c *cli.Context) error {
			switch c.Args().First() {
			case "bash":
				fmt.Fprint(c.App.Writer, bashCompletion)
			case "zsh":
				fmt.Fprint(c.App.Writer, zshCompletion)
			default:
				return fmt.Errorf("completion for %q: give bash or zsh", c.Args().First())
			}
			return nil
		},
	}
}

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master"
	"github.com/prefork/cluster/master/plan"
	"github.com/urfave/cli/v2"
)

// version is the module's version or, in a build from a checkout, the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "print the version", Before: noArguments,
		Action: func(c *cli.Context) error {
			fmt.Fprintf(c.App.Writer, "cluster %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}

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

func manCommand() *cli.Command {
	return &cli.Command{
		Name: "man", Usage: "print the manual page, in the form that man(1) reads",
		Description: "Read it with: cluster man | man -l -",
		Before:      noArguments,
		Action: func(c *cli.Context) error {
			_, err := c.App.Writer.Write(md2man.Render([]byte(manual(c.App))))
			return err
		},
	}
}

// manual is the page in the Markdown that md2man reads, made from what --help is made from.
func manual(app *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%% CLUSTER 1 \"\" \"cluster %s\"\n\n# NAME\n\ncluster - %s\n\n# SYNOPSIS\n\n", quoted(app.Version), quoted(app.Usage))
	for _, c := range app.VisibleCommands() {
		if c.Name != "help" {
			fmt.Fprintf(&b, "**cluster %s** %s\n\n", c.Name, quoted(c.ArgsUsage))
		}
	}
	b.WriteString("# COMMANDS\n\n")
	for _, c := range app.VisibleCommands() {
		if c.Name != "help" {
			describeCommand(&b, "cluster", c)
		}
	}
	b.WriteString("# SIGNALS\n\n")
	for _, s := range master.Signals {
		fmt.Fprintf(&b, "**%s**\n: %s\n\n", s.Name, quoted(s.Effect))
	}
	b.WriteString("# EXIT STATUS\n\n")
	for _, e := range plan.Exits {
		fmt.Fprintf(&b, "**%d**\n: %s\n\n", e.Code, quoted(e.Meaning))
	}
	fmt.Fprintf(&b, "# FILES\n\n*%s*\n: settings, read if it is in the working directory\n\n", configs.DefaultFile)
	b.WriteString("*$XDG_RUNTIME_DIR/cluster/NAME.sock*\n: the control socket, else */tmp/cluster-UID/NAME.sock*\n")
	return b.String()
}

func describeCommand(b *strings.Builder, under string, c *cli.Command) {
	name := under + " " + c.Name
	fmt.Fprintf(b, "## %s %s\n\n%s\n\n", name, quoted(c.ArgsUsage), quoted(c.Usage))
	for paragraph := range strings.SplitSeq(c.Description, "\n\n") {
		if strings.HasPrefix(paragraph, "Signals") {
			continue // they have a section
		}
		fmt.Fprintf(b, "%s\n\n", quoted(paragraph))
	}
	for _, category := range c.VisibleFlagCategories() {
		if category.Name() != "" {
			fmt.Fprintf(b, "### %s\n\n", category.Name())
		}
		for _, f := range category.Flags() {
			describeFlag(b, f)
		}
	}
	for _, sub := range c.VisibleCommands() {
		if sub.Name != "help" {
			describeCommand(b, name, sub)
		}
	}
}

func describeFlag(b *strings.Builder, f cli.Flag) {
	names := f.Names()
	written := make([]string, 0, len(names))
	for _, name := range names {
		written = append(written, "**"+spelled(name)+"**")
	}
	usage := ""
	if d, ok := f.(cli.DocGenerationFlag); ok {
		if usage = d.GetUsage(); d.TakesValue() {
			written[0] += " *value*"
		}
		if text := d.GetDefaultText(); text != "" && d.TakesValue() {
			usage += " (default: " + text + ")"
		}
	}
	fmt.Fprintf(b, "%s\n: %s\n\n", strings.Join(written, ", "), quoted(usage))
}

// quoted keeps Markdown from reading a text.
func quoted(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`, "`", "\\`", "#", `\#`).Replace(text)
}

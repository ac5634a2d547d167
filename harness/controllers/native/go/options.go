package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	cacheAll      = "all"
	cacheMetadata = "metadata"
	cacheNone     = "none"
	cacheSelector = "selector"

	transformNone  = "none"
	transformStrip = "strip"

	disableNone   = "none"
	disableSecret = "Secret"
)

// options are the command line. Switches bear the same names in scenarios and in the docs.
type options struct {
	kubeconfig string
	metrics    string
	cache      choice
	transform  choice
	disableFor choice
	watch      bool // whether Secrets have a controller of their own
	selector   labels.Selector
	fields     fields.Selector
	namespaces []string
	workers    int
	perKind    map[string]*int // workers of one controller, by its name; 0: as all have
	index      bool
}

func (o options) String() string {
	return fmt.Sprintf("cache=%s disable_for=%s watch=%t transform=%s selector=%q fields=%q namespaces=%q index=%t "+
		"workers.gitrepo=%d workers.secret=%d", o.cache.value, o.disableFor.value, o.watch, o.transform.value, o.selector,
		o.fields, strings.Join(o.namespaces, ","), o.index, o.workersOf(gitRepoController), o.workersOf(secretController))
}

// workersOf is how many reconciles a controller does at the same time.
func (o options) workersOf(controller string) int {
	if own := *o.perKind[controller]; own > 0 {
		return own
	}
	return o.workers
}

// watches: whether a controller has Secrets listed and watched before any of them is read.
func (o options) watches() bool { return o.watch && o.cache.value != cacheNone }

// keeps: whether the cache may hold Secrets of a namespace.
func (o options) keeps(namespace string) bool {
	return o.cache.value != cacheSelector || len(o.namespaces) == 0 || slices.Contains(o.namespaces, namespace)
}

// keepsPayload: whether the content of a Secret can come from the cache.
func (o options) keepsPayload() bool {
	return o.transform.value == transformNone && (o.cache.value == cacheAll || o.cache.value == cacheSelector)
}

func parse(arguments []string) (options, error) {
	found := options{
		cache:      choice{value: cacheAll, of: []string{cacheAll, cacheMetadata, cacheNone, cacheSelector}},
		transform:  choice{value: transformNone, of: []string{transformStrip, transformNone}},
		disableFor: choice{value: disableNone, of: []string{disableNone, disableSecret}},
		workers:    10,
		perKind:    map[string]*int{},
	}
	selector, field, namespaces := "harness.dev/watch=true", "", ""
	index, watch := onOff(true), onOff(true)
	set := flag.NewFlagSet(program, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&found.kubeconfig, "kubeconfig", "", "`PATH`: whom to talk to, and as whom")
	set.StringVar(&found.metrics, "metrics-bind-address", "0",
		"`HOST:PORT`: serve /metrics, /healthz, /readyz and /debug/pprof there; 0 serves nothing")
	set.Var(&found.cache, "cache", "`all|metadata|none|selector`: what of Secrets is kept in memory: whole, their metadata, "+
		"none (one is read by name when it is needed), or those that --selector matches")
	set.Var(&found.transform, "transform", "`strip|none`: drop managed fields, last-applied annotations and the payload of "+
		"Secrets from what is kept; the payload is then read by name when it is needed")
	set.Var(&found.disableFor, "disable_for", "`none|Secret`: a kind that the client never reads from a cache (DisableFor); "+
		"whether one is kept is up to --watch")
	set.Var(&watch, "watch", "`on|off`: Secrets have a controller of their own; without one, a cache of all of them comes "+
		"about when the first is read, unless --disable_for=Secret or --cache=none")
	set.StringVar(&selector, "selector", selector, "`LABELS`: of the Secrets that --cache=selector keeps (ByObject)")
	set.StringVar(&field, "fields", field, "`FIELDS`: of the Secrets that --cache=selector keeps, as type=Opaque (ByObject)")
	set.StringVar(&namespaces, "namespaces", namespaces,
		"`NAMES`: with commas; of the Secrets that --cache=selector keeps (ByObject); empty for all")
	set.IntVar(&found.workers, "workers", found.workers, "`N`: workers of each controller")
	for _, name := range []string{gitRepoController, secretController} {
		found.perKind[name] = set.Int("workers."+name, 0, "`N`: workers of the controller "+name+"; 0: as --workers")
	}
	set.Var(&index, "index", "`on|off`: find the GitRepos that use a Secret by an index, or by looking at all")
	if err := set.Parse(arguments); err != nil {
		if err == flag.ErrHelp {
			set.SetOutput(os.Stdout)
			set.PrintDefaults()
		}
		return found, err
	}
	found.index, found.watch = bool(index), bool(watch)
	for _, name := range strings.Split(namespaces, ",") {
		if name = strings.TrimSpace(name); name != "" {
			found.namespaces = append(found.namespaces, name)
		}
	}
	var err error
	if found.fields, err = fields.ParseSelector(field); err != nil {
		return found, fmt.Errorf("--fields %q is not a field selector: %w", field, err)
	}
	if found.selector, err = labels.Parse(selector); err != nil {
		return found, fmt.Errorf("--selector %q is not a label selector: %w", selector, err)
	}
	switch {
	case set.NArg() > 0:
		return found, fmt.Errorf("unexpected argument %q", set.Arg(0))
	case found.kubeconfig == "":
		return found, fmt.Errorf("--kubeconfig is missing")
	case found.workers < 1:
		return found, fmt.Errorf("--workers %d is not a whole number of 1 or more", found.workers)
	case !found.watch && found.cache.value == cacheMetadata:
		return found, fmt.Errorf("--watch=off has no --cache=metadata: nothing would ask for metadata")
	}
	for name, own := range found.perKind {
		if *own < 0 {
			return found, fmt.Errorf("--workers.%s %d is not a whole number of 0 or more", name, *own)
		}
	}
	return found, nil
}

// choice is one of a few words.
type choice struct {
	value string
	of    []string
}

func (c *choice) String() string { return c.value }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.of, text) {
		return fmt.Errorf("not one of %s", strings.Join(c.of, ", "))
	}
	c.value = text
	return nil
}

// onOff is a switch that takes on and off, what YAML makes of them, or no value at all.
type onOff bool

func (o *onOff) String() string { return map[bool]string{true: "on", false: "off"}[bool(*o)] }

func (o *onOff) IsBoolFlag() bool { return true }

func (o *onOff) Set(text string) error {
	switch text {
	case "on", "off":
		*o = text == "on"
	default:
		value, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("not one of on, off")
		}
		*o = onOff(value)
	}
	return nil
}

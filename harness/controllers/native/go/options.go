package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

const (
	cacheAll      = "all"
	cacheMetadata = "metadata"
	cacheNone     = "none"
	cacheSelector = "selector"

	transformNone  = "none"
	transformStrip = "strip"
)

// options are the command line. Switches bear the same names in scenarios and in the docs.
type options struct {
	kubeconfig string
	metrics    string
	cache      choice
	transform  choice
	selector   labels.Selector
	workers    int
	index      bool
}

func (o options) String() string {
	return fmt.Sprintf("cache=%s transform=%s selector=%q index=%t workers=%d",
		o.cache.value, o.transform.value, o.selector, o.index, o.workers)
}

// keepsPayload: whether the content of a Secret can come from the cache.
func (o options) keepsPayload() bool {
	return o.transform.value == transformNone && (o.cache.value == cacheAll || o.cache.value == cacheSelector)
}

func parse(arguments []string) (options, error) {
	found := options{
		cache:     choice{value: cacheAll, of: []string{cacheAll, cacheMetadata, cacheNone, cacheSelector}},
		transform: choice{value: transformNone, of: []string{transformStrip, transformNone}},
		workers:   10,
	}
	selector := "harness.dev/watch=true"
	index := onOff(true)
	set := flag.NewFlagSet(program, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&found.kubeconfig, "kubeconfig", "", "`PATH`: whom to talk to, and as whom")
	set.StringVar(&found.metrics, "metrics-bind-address", "0",
		"`HOST:PORT`: serve /metrics, /healthz, /readyz and /debug/pprof there; 0 serves nothing")
	set.Var(&found.cache, "cache", "`all|metadata|none|selector`: what of Secrets is kept in memory: whole, their metadata, "+
		"none (one is read by name when it is needed), or those that --selector matches")
	set.Var(&found.transform, "transform", "`strip|none`: drop managed fields, last-applied annotations and the payload of "+
		"Secrets from what is kept; the payload is then read by name when it is needed")
	set.StringVar(&selector, "selector", selector, "`LABELS`: of the Secrets that --cache=selector keeps")
	set.IntVar(&found.workers, "workers", found.workers, "`N`: workers of each controller")
	set.Var(&index, "index", "`on|off`: find the GitRepos that use a Secret by an index, or by looking at all")
	if err := set.Parse(arguments); err != nil {
		if err == flag.ErrHelp {
			set.SetOutput(os.Stdout)
			set.PrintDefaults()
		}
		return found, err
	}
	found.index = bool(index)
	var err error
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

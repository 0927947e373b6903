//go:build tools

// Package tools names what infra/local/setup_pulumi.sh builds, so that go.mod and go.sum pin it.
package tools

// The newest release whose module still has the host of Node.js programs: later it became a module of its own that
// only builds in Pulumi's own working tree. It speaks the same protocol.
import _ "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs"

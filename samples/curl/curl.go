// Package curl is a small curl, for pods on machines that have none: the
// options that transcripts of meshes use, with curl's exit codes.
package curl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Exit codes of curl.
const (
	exitUsage   = 2
	exitResolve = 6
	exitConnect = 7
	exitHTTP    = 22
	exitTimeout = 28
	exitReceive = 56
)

type options struct {
	silent, showError, include, head, follow, insecure, fail, verbose bool
	method, output, writeOut, user, agent, proxy                      string
	headers, data                                                     []string
	maxTime, connectTimeout                                           float64
}

func flags(o *options) *pflag.FlagSet {
	f := pflag.NewFlagSet("curl", pflag.ContinueOnError)
	f.BoolVarP(&o.silent, "silent", "s", false, "no progress and no errors")
	f.BoolVarP(&o.showError, "show-error", "S", false, "errors even when silent")
	f.BoolVarP(&o.include, "include", "i", false, "the reply's head before its body")
	f.BoolVarP(&o.head, "head", "I", false, "the head alone")
	f.BoolVarP(&o.follow, "location", "L", false, "follow redirects")
	f.BoolVarP(&o.insecure, "insecure", "k", false, "accept any certificate")
	f.BoolVarP(&o.fail, "fail", "f", false, "fail on status 400 and above")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show what is sent and received")
	f.StringVarP(&o.method, "request", "X", "", "method")
	f.StringVarP(&o.output, "output", "o", "", "file for the body")
	f.StringVarP(&o.writeOut, "write-out", "w", "", "what to print at the end")
	f.StringVarP(&o.user, "user", "u", "", "user:password")
	f.StringVarP(&o.agent, "user-agent", "A", "curl/8 (lateen-samples)", "User-Agent")
	f.StringVarP(&o.proxy, "proxy", "x", "", "proxy")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "header")
	f.StringArrayVarP(&o.data, "data", "d", nil, "body to post")
	f.Float64VarP(&o.maxTime, "max-time", "m", 0, "seconds for the whole call")
	f.Float64Var(&o.connectTimeout, "connect-timeout", 0, "seconds to connect")
	return f
}

// Main runs curl with args and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var o options
	f := flags(&o)
	f.SetOutput(stderr)
	if err := f.Parse(args); err != nil || f.NArg() == 0 {
		if err == nil {
			fmt.Fprintln(stderr, "curl: no URL specified")
		}
		return exitUsage
	}
	code := 0
	for _, u := range f.Args() {
		if err := o.call(u, stdin, stdout, stderr); err != nil {
			code = exitCode(err)
			if !o.silent || o.showError {
				fmt.Fprintf(stderr, "curl: (%d) %v\n", code, err)
			}
		}
	}
	return code
}

func (o *options) call(target string, stdin io.Reader, stdout, stderr io.Writer) error {
	ctx := context.Background()
	if o.maxTime > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(o.maxTime*float64(time.Second)))
		defer cancel()
	}
	req, err := o.request(ctx, target, stdin)
	if err != nil {
		return err
	}
	client, err := o.client()
	if err != nil {
		return err
	}
	if o.verbose {
		fmt.Fprintf(stderr, "> %s %s\n", req.Method, req.URL.RequestURI())
		writeHeader(stderr, "> ", req.Header)
	}
	start := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return o.show(resp, start, stdout, stderr)
}

func (o *options) request(ctx context.Context, target string, stdin io.Reader) (*http.Request, error) {
	if !strings.Contains(target, "://") {
		target = "http://" + target
	}
	method, body := "GET", ""
	if len(o.data) > 0 {
		method, body = "POST", strings.Join(o.data, "&")
		if body == "@-" {
			read, err := io.ReadAll(stdin)
			if err != nil {
				return nil, err
			}
			body = string(read)
		}
	}
	if o.head {
		method = "HEAD"
	}
	if o.method != "" {
		method = o.method
	}
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", o.agent)
	req.Header.Set("Accept", "*/*")
	if len(o.data) > 0 {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if name, password, ok := strings.Cut(o.user, ":"); ok {
		req.SetBasicAuth(name, password)
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("header %q: want NAME: VALUE", h)
		}
		value = strings.TrimSpace(value)
		if strings.EqualFold(name, "host") {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	return req, nil
}

func (o *options) client() (*http.Client, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: o.insecure}
	t.DisableCompression = true
	t.DialContext = (&net.Dialer{Timeout: time.Duration(o.connectTimeout * float64(time.Second))}).DialContext
	if o.proxy != "" {
		if !strings.Contains(o.proxy, "://") {
			o.proxy = "http://" + o.proxy
		}
		u, err := url.Parse(o.proxy)
		if err != nil {
			return nil, err
		}
		t.Proxy = http.ProxyURL(u)
	}
	client := &http.Client{Transport: t}
	if !o.follow {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return client, nil
}

type httpError int

func (e httpError) Error() string {
	return fmt.Sprintf("The requested URL returned error: %d", int(e))
}

func (o *options) show(resp *http.Response, start time.Time, stdout, stderr io.Writer) error {
	if o.verbose {
		fmt.Fprintf(stderr, "< %s %s\n", resp.Proto, resp.Status)
		writeHeader(stderr, "< ", resp.Header)
	}
	out := stdout
	if o.output != "" && o.output != "-" {
		file, err := os.Create(o.output)
		if err != nil {
			return err
		}
		defer file.Close()
		out = file
	}
	if o.include || o.head {
		fmt.Fprintf(out, "%s %s\r\n", resp.Proto, resp.Status)
		writeHeader(out, "", resp.Header)
		fmt.Fprint(out, "\r\n")
	}
	failed := o.fail && resp.StatusCode >= 400
	if failed {
		out = io.Discard
	}
	size, err := io.Copy(out, resp.Body)
	if err == nil && failed {
		err = httpError(resp.StatusCode)
	}
	fmt.Fprint(stdout, strings.NewReplacer(
		`\n`, "\n", `\t`, "\t",
		"%{http_code}", fmt.Sprintf("%03d", resp.StatusCode),
		"%{response_code}", fmt.Sprintf("%03d", resp.StatusCode),
		"%{size_download}", fmt.Sprint(size),
		"%{time_total}", fmt.Sprintf("%.6f", time.Since(start).Seconds()),
	).Replace(o.writeOut))
	return err
}

func writeHeader(w io.Writer, prefix string, h http.Header) {
	for name, values := range h {
		for _, v := range values {
			fmt.Fprintf(w, "%s%s: %s\r\n", prefix, strings.ToLower(name), v)
		}
	}
}

func exitCode(err error) int {
	var status httpError
	switch text := err.Error(); {
	case errors.As(err, &status):
		return exitHTTP
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case strings.Contains(text, "no such host"):
		return exitResolve
	case strings.Contains(text, "connection refused"):
		return exitConnect
	case strings.Contains(text, "connection reset"), strings.Contains(text, "EOF"):
		return exitReceive
	}
	return 1
}

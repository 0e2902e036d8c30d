package web

import "strings"

// What the browser pretends nothing about: one window of an ordinary size, one
// language, UTC.
const (
	viewWidth, viewHeight = 1366, 768
	viewScale             = 1
	locale                = "en-US"
	timezone              = "UTC"
)

const noSandbox = "--no-sandbox"

// flags are the browser's switches, without those that hold paths or keys of
// this machine. They are recorded as they are used.
func flags() []string {
	off := []string{
		// Some versions ask their search engine about each new browser context, or
		// connect to it in advance (PreconnectToSearch): that would be in the
		// record, and tell it of every capture. Seen with Chromium 150.
		"AimEnabled", "AimServerEligibilityEnabled", "AimServerRequestOnStartupEnabled", "AimServerRequestOnIdentityChangeEnabled",
		"AimUrlNavigationFetchEnabled", "AiModeOmniboxEntryPoint",
		"AutofillServerCommunication", "CertificateTransparencyComponentUpdater", "DialMediaRouteProvider",
		"HttpsFirstBalancedModeAutoEnable", "HttpsFirstModeV2", "HttpsUpgrades", // what was asked is what is asked
		"InterestFeedContentSuggestions", "LocalNetworkAccessChecks", // the proxy decides about private addresses
		"MediaRouter", "OptimizationHints", "PreconnectToSearch", "PrivacySandboxSettings4",
		"SpareRendererForSitePerProcess", // a process made in advance is of the context of a capture that is over by then
		"Translate",
		// Of each context the browser would make a window's list of suggestions, a page of
		// its own whose process takes half a second of a processor.
		"WebUIOmniboxAimPopup", "WebUIOmniboxPopup",
	}
	f := []string{
		"--headless=new",
		// Nothing but a capture's own context has a way out, and that is its proxy.
		"--proxy-server=http://127.0.0.1:9",
		// And it resolves no name: the proxy does. Without this WebRTC asks the
		// system for the TURN servers that a page names (seen by TestNoLeak).
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--disable-quic",
		"--webrtc-ip-handling-policy=disable_non_proxied_udp",
		"--force-webrtc-ip-handling-policy",
		"--disable-background-networking", "--disable-component-update", "--disable-domain-reliability",
		"--disable-client-side-phishing-detection", "--disable-sync", "--disable-default-apps", "--disable-extensions",
		"--disable-component-extensions-with-background-pages",
		"--disable-breakpad", "--disable-crash-reporter", "--disable-field-trial-config", "--metrics-recording-only", "--no-pings",
		"--no-first-run", "--no-default-browser-check", "--no-service-autorun", "--password-store=basic", "--use-mock-keychain",
		"--disable-hang-monitor", "--disable-prompt-on-repost", "--disable-search-engine-choice-screen",
		"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
		// Every machine composes alike, by its processor, as one without a graphics
		// processor does: there a picture has no texture's limit (seen: 16,384 rows).
		"--disable-gpu-compositing", paintBeyond,
		"--disable-checker-imaging", // a picture waits for what is in it to be decoded
		"--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=" + locale,
		"--disable-features=" + strings.Join(off, ","),
	}
	if isRoot() {
		f = append(f, noSandbox) // it refuses to start as root otherwise; recorded, and a note says so
	}
	return f
}

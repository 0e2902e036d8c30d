() => {
	// What is written the same in every language.
	const kinds = {
		time: /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC/g,
		digest: /\b[0-9a-f]{32,64}\b/g,
		address: /\bhttps?:\/\/[\x21-\x7e]+/g,
		path: /\b[a-z0-9-]+(?:\/[a-z0-9._-]+)+\b|\b[a-z0-9-]+\.(?:html|sh|jsonl|json|png|gz|txt|zip)\b/g,
		command: /--[a-z][a-z-]+(?: [A-Za-z.]+)?/g,
	};
	const out = {Checked: 0, Kinds: {}, Faults: []};
	const rtl = document.documentElement.dir === "rtl";
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n = walk.nextNode(); n; n = walk.nextNode()) {
		const el = n.parentElement, style = getComputedStyle(el);
		for (const [kind, re] of Object.entries(kinds)) {
			for (const m of n.data.matchAll(re)) {
				const say = `${kind} ${m[0].slice(0, 80)} in <${el.tagName.toLowerCase()}>`;
				out.Checked++;
				out.Kinds[kind] = (out.Kinds[kind] || 0) + 1;
				if (rtl && (style.direction !== "ltr" || !el.closest('[dir="ltr"]'))) {
					// Words of strangers have the direction of their own first letter.
					if (el.closest("bdi:not([dir])")) continue;
					out.Faults.push(say + ": not in an isolate from left to right");
				}
				let last = null;
				for (let i = m.index; i < m.index + m[0].length; i++) {
					const r = document.createRange();
					r.setStart(n, i);
					r.setEnd(n, i + 1);
					const box = r.getClientRects()[0];
					if (!box || box.width === 0) continue;
					if (last && Math.abs(box.top - last.top) < 3 && box.left < last.left) {
						out.Faults.push(say + `: letter ${i - m.index} stands before the one that it follows`);
						break;
					}
					last = box;
				}
				if (!last && el.closest("dl, table, pre, p, h3, figure, li")) out.Faults.push(say + ": not drawn");
			}
		}
	}
	return out;
}

import { compile } from 'svelte/compiler';
import { render } from 'svelte/server';
import fs from 'node:fs';
const internal = import.meta.resolve('svelte/internal/server');
export default async () => {
  const { js } = compile('<script>let { n } = $props(); let d = $derived(n * 2)</script><p>doubled: {d}</p>', { generate: 'server' });
  const file = `/tmp/svelte-${process.pid}.mjs`;
  fs.writeFileSync(file, js.code.replaceAll("'svelte/internal/server'", `'${internal}'`));
  const { default: Component } = await import(file);
  return new Response((await render(Component, { props: { n: 2 } })).body.replace(/<!--.*?-->/g, ''));
};

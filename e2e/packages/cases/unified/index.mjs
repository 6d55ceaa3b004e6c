import { unified } from 'unified';
import parse from 'remark-parse';
import rehype from 'remark-rehype';
import stringify from 'rehype-stringify';
import { visit } from 'unist-util-visit';
const deeper = () => tree => { visit(tree, 'heading', n => { n.depth++; }); visit(tree, 'link', n => { n.url = n.url.replace('/a', '/b'); }); };
export default async () => new Response(String(await unified().use(parse).use(deeper).use(rehype).use(stringify).process('# T\n\ngo [x](/a)')));

import { parse, serialize } from 'parse5';
export default async () => new Response(serialize(parse('<p>1<b>2<i>3</b>4</i>5</p>')));

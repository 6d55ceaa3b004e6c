import { Chalk } from 'chalk';
export default async () => Response.json({ text: new Chalk({ level: 1 }).underline.blue('a'), bg: new Chalk({ level: 2 }).bgHex('#ff0000')('x') });

import { marked } from 'marked';
export default async () => new Response(marked('# T\n\n- **a**\n\n|x|\n|-|\n|1|\n'));

// As the host writes TypeScript: the types are blanks already.
const text         = 'text';

export default async (request         )                    => new Response(text + request.method);

'use strict';
const { z } = require('zod');
module.exports = { same: z.string() instanceof z.ZodType, json: require('zod-to-json-schema').zodToJsonSchema(z.string()).type };

package bench

// packageSet is what a function depends on. Its name is about the number of packages in the lock, which npm makes
// at run time: what they need in turn moves on, so rows say what was counted.
type packageSet struct {
	name   string
	direct []string // NAME@VERSION
	loads  int      // how many of them the function needs, 0: all
}

var small = []string{"dayjs@1.11.23", "jsonwebtoken@9.0.3", "lodash@4.18.1", "nanoid@5.1.16", "nodemailer@10.6.1", "pino@10.4.0", "uuid@14.0.3", "winston@3.19.0", "zod@4.6.7"}

// The two packages of the row with one new package have no dependencies and are in no other set.
const (
	packageX = "luxon@3.7.2"
	packageY = "marked@18.2.1"
)

// No set has a package with install scripts, whose compiler would be measured, and each loads within the
// default memory. The largest come first, since npm takes longest for them.
var sets = []packageSet{
	{"1000", []string{"@babel/core@7.29.13", "axios@1.21.1", "css-minimizer-webpack-plugin@8.0.0", "eslint@10.15.0", "express@5.3.0", "fastify@5.12.8",
		"gulp@5.0.1", "html-webpack-plugin@5.6.8", "lodash@4.18.1", "mocha@12.0.3", "prettier@3.10.1", "pug@3.0.4", "webpack@5.112.2",
		"webpack-dev-server@5.2.7", "winston@3.19.0", "workbox-webpack-plugin@7.4.1"}, 0},
	{"600", []string{"axios@1.21.1", "@babel/core@7.29.13", "@babel/preset-env@7.29.14", "cssnano@7.1.9", "eslint@10.15.0", "express@5.3.0", "fastify@5.12.8",
		"knex@3.3.0", "mocha@12.0.3", "mongoose@9.12.1", "postcss-preset-env@11.6.2", "webpack@5.112.2", "zod@4.6.7"}, 1}, // its rows are about links
	{"120", []string{"axios@1.21.1", "fastify@5.12.8", "jsonwebtoken@9.0.3", "lodash@4.18.1", "nodemailer@10.6.1", "winston@3.19.0", "zod@4.6.7"}, 0},
	{"100", []string{"fastify@5.12.8", "jsonwebtoken@9.0.3", "lodash@4.18.1", "mongodb@7.9.0", "nodemailer@10.6.1", "winston@3.19.0", "zod@4.6.7"}, 0},
	{"60", small, 0},
	{"60x", append([]string{packageX}, small...), 0},
	{"60y", append([]string{packageY}, small...), 0},
	{"10", []string{"dayjs@1.11.23", "debug@4.4.3", "js-yaml@5.5.0", "lodash@4.18.1", "minimist@1.2.8", "semver@7.8.6", "uuid@14.0.3", "zod@4.6.7"}, 0},
	{"x", []string{packageX}, 0},
	{"y", []string{packageY}, 0},
	{"0", nil, 0},
}

# An image of Troupe for deployments. Built from a clone:   docker build -t troupe .
# Tasks go into /app/tasks, by a volume or by an image of your own:
#
#   FROM troupe
#   COPY tasks /app/tasks
#   CMD ["start", "tasks/mine.ts"]
#
# `import … from 'troupe'` resolves there; Node runs .ts files as they are.
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
# The package of nats-server is for `troupe dev` on a developer's machine; a deployment has servers of its own.
RUN npm ci --omit=dev --ignore-scripts && rm -rf node_modules/@eplightning && mv node_modules /production
RUN npm ci --ignore-scripts
COPY . .
RUN npm pack --pack-destination /tmp && mkdir /production/troupe \
  && tar -xzf /tmp/troupe-*.tgz -C /production/troupe --strip-components=1

FROM ${NODE_IMAGE}
ENV NODE_ENV=production PATH=/app/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV TROUPE_HEALTH_PORT=8080
WORKDIR /app
COPY --from=build /production ./node_modules
RUN mkdir -p node_modules/.bin tasks && ln -sf ../troupe/bin/troupe.mjs node_modules/.bin/troupe \
  && echo '{ "private": true, "type": "module" }' > package.json
USER node
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.TROUPE_HEALTH_PORT + '/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["troupe"]
CMD ["start"]

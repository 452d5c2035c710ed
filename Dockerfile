# The service alone: it reads a configuration, a catalogue and models from the folder at /shop.
FROM python:3.11-slim
WORKDIR /package
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY cascade cascade
COPY mappings mappings
RUN pip install --no-cache-dir --constraint constraints.txt ".[elasticsearch,opensearch,solr]"
WORKDIR /shop
USER 1000:1000
EXPOSE 8080
ENTRYPOINT ["cascade"]
CMD ["serve", "--config", "/shop/cascade.toml", "--set", "service.host=\"0.0.0.0\""]
